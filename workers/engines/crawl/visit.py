"""One visit of a page: opens it in a browser context of its own, waits for it, and takes what the request asks for."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from contract.addresses import NotPublic, reason
from contract.errors import InvalidField, PageNotFetched, RobotsDisallow, ServeError
from contract.tasks.crawl import CrawlRequest, CrawlResponse
from workers.engines.crawl.extraction import RenderedPage, extract
from workers.engines.crawl.navigation import Navigation, not_public, shorten
from workers.engines.crawl.navigation_gate import hold_navigations
from workers.engines.crawl.proxy import CrawlProxy
from workers.engines.crawl.robots import Robots

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

MAX_HTML = 16 * 2**20
"""Characters of a page's HTML."""
MAX_SCREENSHOT_HEIGHT = 16_384
"""Pixels; Chromium cannot draw more at once."""
LOAD_TIMEOUT = 10
"""Seconds for which a page may load once its server has answered; at most half of the request's `timeout`."""
_TRIES = 3
_CLOSE_TIMEOUT = 5
_LOCAL = re.compile(r"^(file|filesystem|chrome|devtools|view-source):")
_NAVIGATING = ("is navigating", "Execution context was destroyed")


@dataclass
class Visit:
    """The visit for one request. `user_agent` is the browser's own with our name, `proxy` its way to the network."""

    browser: Browser
    proxy: CrawlProxy
    robots: Robots
    user_agent: str
    model: str
    request: CrawlRequest
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._navigation = Navigation(self.request.url, self.proxy)

    async def run(self) -> CrawlResponse:
        """Raises InvalidField, RobotsDisallow or PageNotFetched, with a sentence that says what to do."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.request.timeout):
                await self._check_robots(self.request.url)
                response = await self._in_context()
        except TimeoutError:
            waits = f", or wait for another selector than {self.request.wait_for!r}" if self.request.wait_for else ""
            message = f"{shorten(self.request.url)} took longer than {self.request.timeout:g} s."
            raise PageNotFetched(f"{message} Send a longer `timeout`{waits}.") from None
        response.fetch_time_ms = round((time.perf_counter() - started) * 1e3)
        return response

    async def _check_robots(self, url: str) -> None:
        if not self.request.respect_robots:
            return
        host = urlsplit(url).hostname
        try:
            allowed = await self.robots.allow(url)
        except NotPublic:
            raise not_public(url) from None
        except OSError as error:
            message = f"{host} cannot be reached: {reason(error)}. Check the URL, or try again later."
            raise PageNotFetched(message) from error
        if not allowed:
            message = f"The robots.txt of {host} does not allow {shorten(url)} to be crawled, or cannot be read."
            raise RobotsDisallow(f"{message} With the site's consent, send `respect_robots: false`.")

    async def _robots_allow(self, url: str) -> bool:
        try:
            await self._check_robots(url)
        except ServeError as error:
            self._navigation.refusal = error
            return False
        return True

    async def _in_context(self) -> CrawlResponse:
        viewport = self.request.viewport
        context = await self.browser.new_context(
            proxy={"server": self.proxy.url},
            viewport={"width": viewport.width, "height": viewport.height} if viewport else None,
            user_agent=self.user_agent,
            java_script_enabled=self.request.wait_for_js,
            service_workers="block",
            accept_downloads=False,
        )
        try:
            return await self._visit(context)
        finally:
            with suppress(Exception):  # the browser may have crashed
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await context.close()

    async def _visit(self, context: BrowserContext) -> CrawlResponse:
        from playwright.async_api import Error

        await context.route(_LOCAL, lambda route: route.abort("blockedbyclient"))
        page = await context.new_page()
        context.on("page", lambda popup: popup.close())
        page.set_default_timeout(0)  # our own limit ends the visit
        self._navigation.watch(page)
        if self.request.respect_robots:
            await hold_navigations(page, self._robots_allow)
        try:
            await self._open(page)
            return await self._read(page)
        except Error as error:
            raise self._navigation.failure(_reason(error)) from error

    async def _open(self, page: Page) -> None:
        """Go to the page and wait for what the request wants to wait for."""
        await page.goto(self.request.url, wait_until="commit")
        await self._wait_until_loaded(page)
        if self.request.wait_for:
            await self._wait_for(page, self.request.wait_for)

    async def _wait_until_loaded(self, page: Page) -> None:
        """Wait until the page is there, with scripts until it asks for nothing more. Not for long: some never end."""
        seconds = min(LOAD_TIMEOUT, self.request.timeout / 2)
        try:
            async with asyncio.timeout(seconds):
                await page.wait_for_load_state("domcontentloaded")
                if self.request.wait_for_js:
                    await page.wait_for_load_state("load")
                    await page.wait_for_load_state("networkidle")
        except TimeoutError:
            self.warnings.append(f"The page was still loading after {seconds:g} s; this is what it showed then.")

    async def _wait_for(self, page: Page, selector: str) -> None:
        from playwright.async_api import Error

        try:
            await page.locator(selector).first.wait_for()
        except Error as error:
            if page.is_closed():
                raise
            raise InvalidField(f"{selector!r} is not a CSS selector: {_reason(error)}.", param="wait_for") from None

    async def _read(self, page: Page) -> CrawlResponse:
        """Take the answer from the page; again if it goes elsewhere meanwhile."""
        from playwright.async_api import Error

        for tries in range(1, _TRIES + 1):
            self._navigation.check(page)
            if page.url != self.request.url:
                await self._check_robots(page.url)
            try:
                return await self._response(page)
            except Error as error:
                if tries == _TRIES or not any(phrase in error.message for phrase in _NAVIGATING):
                    raise
                await page.wait_for_load_state()
        raise AssertionError("the loop returns or raises")

    async def _response(self, page: Page) -> CrawlResponse:
        response = self._navigation.response
        assert response, "`check` has raised without one"
        html = await page.content()
        if len(html) > MAX_HTML:
            raise PageNotFetched(f"{shorten(page.url)} has more than {MAX_HTML / 2**20:g} MiB of HTML.")
        is_html = "ml" in response.headers.get("content-type", "html")
        rendered = RenderedPage(page.url, html, await _visible_text(page), await page.title(), is_html)
        screenshot = await self._screenshot(page) if self.request.screenshot else None
        self._navigation.check(page)  # what was read may be of a page that came meanwhile
        readable = await asyncio.to_thread(extract, rendered, self.request)
        if readable.whole_page:
            self.warnings.append("No main text was found, so `text` is all visible text of the page.")
        self._warn(response.status)
        return CrawlResponse(
            model=self.model,
            url=rendered.url,
            status=response.status,
            title=readable.title,
            text=readable.text,
            format=self.request.format,
            metadata=readable.metadata,
            links=readable.links,
            screenshot_base64=screenshot,
            fetch_time_ms=0,  # `run` knows it
            warnings=self.warnings or None,
        )

    async def _screenshot(self, page: Page) -> str:
        full_page, clip = self.request.full_page, None
        if full_page:
            session = await page.context.new_cdp_session(page)
            size = (await session.send("Page.getLayoutMetrics"))["cssContentSize"]
            if size["height"] > MAX_SCREENSHOT_HEIGHT:
                clip = {"x": 0, "y": 0, "width": size["width"], "height": MAX_SCREENSHOT_HEIGHT}
                self.warnings.append(f"The screenshot ends after {MAX_SCREENSHOT_HEIGHT} of {size['height']:g} pixels.")
        content = await page.screenshot(full_page=full_page, clip=clip, animations="disabled")  # type: ignore[arg-type]
        return base64.b64encode(content).decode()

    def _warn(self, status: int) -> None:
        """Say what of the page is missing."""
        if status >= 400:
            self.warnings.append(f"The site answered with status {status}; this is its error page.")
        if refused := [*self.proxy.refused]:
            hosts = ", ".join(map(shorten, refused[:5])) + (" and others" if len(refused) > 5 else "")
            self.warnings.append(f"The page asked for addresses that are not public, which was refused: {hosts}.")
        if self.proxy.exceeded:
            limit = self.proxy.limit / 2**20
            self.warnings.append(f"The page has more than {limit:g} MiB (`options.max_page_mb`); the rest is missing.")


async def _visible_text(page: Page) -> str:
    """What the page shows as text; empty for documents without a body, such as XML."""
    body = page.locator("body").first
    return await body.inner_text() if await body.count() else ""


def _reason(error: Exception) -> str:
    """Playwright's message without its call log and the name of the method, as `net::ERR_CERT_DATE_INVALID`."""
    line = str(error).partition("\n")[0].rpartition("Error: ")[2]
    return line.partition(": ")[2].partition(" at http")[0].rstrip(".") or line
