"""Holds each request for a page's main frame, redirects included, until a check allows it.

Playwright's own `route` does not see redirects, so this uses the Fetch domain of Chromium's DevTools protocol
(chromedevtools.github.io/devtools-protocol/tot/Fetch).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Page

_DOCUMENTS = {"urlPattern": "http*", "resourceType": "Document", "requestStage": "Request"}


async def hold_navigations(page: Page, allow: Callable[[str], Awaitable[bool]]) -> None:
    """From now on, a URL to which `allow` says no is not asked for."""
    from playwright.async_api import Error

    session = await page.context.new_cdp_session(page)
    tree = await session.send("Page.getFrameTree")
    main_frame = tree["frameTree"]["frame"]["id"]

    async def decide(event: dict[str, Any]) -> None:
        held = {"requestId": event["requestId"]}
        with suppress(Error):  # the page may have been closed meanwhile
            if event["frameId"] != main_frame or await allow(event["request"]["url"]):
                await session.send("Fetch.continueRequest", held)
            else:
                await session.send("Fetch.failRequest", {**held, "errorReason": "BlockedByClient"})

    session.on("Fetch.requestPaused", decide)
    await session.send("Fetch.enable", {"patterns": [_DOCUMENTS]})
