"""Where a page's main frame goes, by redirects or by itself, and whether it ends at a page that can be read."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contract.errors import InvalidField, PageNotFetched, ServeError
from workers.engines.crawl.proxy import CrawlProxy

if TYPE_CHECKING:
    from playwright.async_api import Frame, Page, Request, Response

MAX_NAVIGATIONS = 20
"""Redirects and navigations by scripts on the way to a page; browsers have this limit for redirects alone."""
_READABLE_TYPES = ("text/", *(f"application/{kind}" for kind in ("xhtml", "xml", "rss", "atom", "json", "ld+json")))
_ABORTED = "net::ERR_ABORTED"
"""The browser stays at its page: a script went elsewhere meanwhile, or the answer is a download or empty."""


@dataclass
class Navigation:
    """What the main frame asked for last, and what came of it. `asked` is the URL of the request.

    `response` is that of the page that the browser shows, `refusal` why a step of the way may not be gone.
    """

    asked: str
    proxy: CrawlProxy
    requests: int = 0
    response: Response | None = None
    refusal: ServeError | None = None
    _last: Request | None = None
    _next_response: Response | None = None
    _failure: str | None = None
    _closing: asyncio.Future[None] | None = None

    def watch(self, page: Page) -> None:
        """Follow the page's main frame, and close the page if nothing can come of it any more."""
        page.on("request", lambda request: self._on_request(page, request))
        page.on("response", self._on_response)
        page.on("requestfailed", lambda request: self._on_failure(page, request))
        page.on("framenavigated", lambda frame: self._on_navigated(page, frame))

    @property
    def url(self) -> str:
        """The last URL that the main frame asked for."""
        return self._last.url if self._last else self.asked

    def check(self, page: Page) -> None:
        """Raise the error for a page that the browser could not open, or that is no page of the web."""
        if self._failure:
            raise self.failure(self._failure)
        scheme = urlsplit(page.url).scheme
        if scheme not in {"http", "https"} or self.response is None:
            raise PageNotFetched(f"{shorten(self.asked)} leads to {shorten(page.url)}, which is no page of the web.")
        media_type = self.response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type and not media_type.startswith(_READABLE_TYPES):
            raise _not_a_page(page.url, f"its type is {media_type}")

    def failure(self, reason: str) -> ServeError:
        """The error for a browser's `reason`, or for what the proxy knows better."""
        if self.refusal:
            return self.refusal
        host = urlsplit(self.url).hostname or ""
        if self.requests > MAX_NAVIGATIONS:
            message = f"{shorten(self.asked)} leads from page to page without end. Crawl the page that you need itself."
            return PageNotFetched(message)
        if host in self.proxy.refused:
            return not_public(self.url)
        if self.proxy.exceeded:
            message = f"{shorten(self.asked)} is larger than {self.proxy.limit / 2**20:g} MiB (`options.max_page_mb`)."
            return PageNotFetched(message)
        if "Download is starting" in reason:
            return _not_a_page(self.url, "it is a download")
        reason = self.proxy.unreachable.get(host, reason)
        return PageNotFetched(f"{shorten(self.url)} could not be opened: {reason}. Check the URL, or try again later.")

    def _on_request(self, page: Page, request: Request) -> None:
        if not _is_main(page, request):
            return
        self.requests += 1
        self._last, self._next_response, self._failure = request, None, None
        if self.requests > MAX_NAVIGATIONS:
            self._close(page)

    def _on_response(self, response: Response) -> None:
        if response.request == self._last:
            self._next_response = response

    def _on_navigated(self, page: Page, frame: Frame) -> None:
        if frame == page.main_frame and self._next_response:
            self.response = self._next_response

    def _on_failure(self, page: Page, request: Request) -> None:
        if request != self._last or request.failure == _ABORTED:
            return
        self._failure = request.failure or "the connection broke off"
        if self._next_response:  # in the middle of the page: Playwright would wait for its end
            self._close(page)

    def _close(self, page: Page) -> None:
        self._closing = self._closing or asyncio.ensure_future(page.close())


def not_public(url: str) -> InvalidField:
    """The error for a page, or a redirect, at an address that may not be connected to."""
    message = f"{shorten(url)} leads to an address that is not public. To allow its network, add it to"
    return InvalidField(f"{message} `gateway.allow_private` in config.yaml.", param="url")


def shorten(url: str) -> str:
    """The URL for a message."""
    return url if len(url) <= 200 else url[:200] + "…"


def _not_a_page(url: str, why: str) -> PageNotFetched:
    return PageNotFetched(
        f"{shorten(url)} is not a page that can be read: {why}. Crawl opens HTML, XML, JSON and text."
    )


def _is_main(page: Page, request: Request) -> bool:
    from playwright.async_api import Error

    with suppress(Error):  # requests of workers have no frame
        return request.is_navigation_request() and request.frame == page.main_frame
    return False
