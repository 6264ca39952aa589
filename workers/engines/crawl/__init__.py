"""Web pages with Chromium, driven by Playwright: one browser for the worker, one browser context for each request.

A request's context shares nothing with others: no cookies, no cache. All that it sends passes `proxy`, which connects
to public addresses only. `visit` goes to the page and reads it, `extraction` finds the text, `robots` asks the site.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field, field_validator

from contract.addresses import ALLOW_PRIVATE, AddressRule
from contract.config import ModelSpec
from contract.status import ModelFacts
from contract.tasks.crawl import CRAWL, CrawlRequest, CrawlResponse
from workers import engine
from workers.engine import Call, Device, Engine, Feed, Output, serves
from workers.failures import to_serve_error

if TYPE_CHECKING:
    from workers.engines.crawl.browser import ChromiumProcess

T = TypeVar("T")

_POLL = 0.05
"""Seconds between two looks for new requests and disconnected clients, while pages load."""


class CrawlOptions(engine.Options):
    """`executable` is the browser (null: Playwright's own, or Chromium or Chrome of the system). `sandbox`: true: never
    without Chromium's sandbox; false: always without; null: with it where it works, else without, as the log and the
    status say then. `max_page_mb` limits what one page may load, in MiB. `agent` is the crawler's name for sites, in
    robots.txt too. `allow_private`: private networks that may be crawled; null: those of `gateway.allow_private`.
    """

    executable: str | None = None
    sandbox: bool | None = None
    max_page_mb: float = Field(64, gt=0)
    agent: str = Field("Enginehouse", pattern=r"^[A-Za-z_-]+$")
    allow_private: tuple[str, ...] | None = None

    @field_validator("allow_private")
    @classmethod
    def _check_networks(cls, networks: tuple[str, ...] | None) -> tuple[str, ...] | None:
        AddressRule(networks or ())  # its ValueError says what is wrong
        return networks


class Crawl(Engine):
    """Web pages, with a browser: title, readable text, links, screenshots."""

    extras: ClassVar[tuple[str, ...]] = ("crawl",)
    Options: ClassVar[type[engine.Options]] = CrawlOptions
    imports: ClassVar[tuple[str, ...]] = ("playwright.async_api", "trafilatura", "protego", "aiohttp")
    early_standby: ClassVar[bool] = False  # it starts within seconds, and needs no download that shows who will crawl
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    needs_source: ClassVar[bool] = False

    def load(self, spec: ModelSpec, device: Device) -> None:  # noqa: ARG002 - it runs on the CPU only
        """Start the browser."""
        from workers.engines.crawl.browser import ChromiumProcess
        from workers.engines.crawl.robots import Robots

        options = CrawlOptions.model_validate(spec.options)
        networks = options.allow_private
        if networks is None:
            networks = tuple(filter(None, os.environ.get(ALLOW_PRIVATE, "").split(",")))
        self._model = spec.id
        self._allowed = AddressRule(networks)
        self._limit = int(options.max_page_mb * 2**20)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="browser", daemon=True)
        self._thread.start()

        async def start() -> tuple[ChromiumProcess, Robots]:
            browser = ChromiumProcess(options.executable, options.sandbox, options.agent)
            await browser.start()
            return browser, Robots(options.agent, self._allowed)

        self._browser, self._robots = self._run(start()).result()

    def close(self) -> None:
        """End the browser."""
        self._run(self._browser.close()).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def facts(self) -> ModelFacts:
        """Whether the browser runs in its sandbox."""
        weakness = self._browser.way.weakness
        return ModelFacts(sandbox=f"no: {weakness}" if weakness else "yes")

    @serves(CRAWL, max_batch=8, joins=True)
    def crawl(self, feed: Feed[CrawlRequest]) -> Iterator[tuple[Call[CrawlRequest], Output]]:
        """Visit up to `feed.limit` pages at the same time."""
        visits: dict[concurrent.futures.Future[CrawlResponse], Call[CrawlRequest]] = {}
        try:
            while True:
                for call in feed.take(feed.limit - len(visits)):
                    visits[self._run(self._visit(call.request))] = call
                if not visits:
                    return
                done, _ = concurrent.futures.wait(visits, _POLL, concurrent.futures.FIRST_COMPLETED)
                for visit in done:
                    yield visits.pop(visit), _outcome(visit)
                for visit in [visit for visit, call in visits.items() if call.cancelled]:
                    visit.cancel()
                    del visits[visit]
        finally:
            for visit in visits:
                visit.cancel()

    async def _visit(self, request: CrawlRequest) -> CrawlResponse:
        from workers.engines.crawl.proxy import CrawlProxy
        from workers.engines.crawl.visit import Visit

        browser = await self._browser.get()
        async with CrawlProxy(self._allowed, self._limit) as proxy:
            return await Visit(browser, proxy, self._robots, self._browser.user_agent, self._model, request).run()

    def _run(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def _outcome(visit: concurrent.futures.Future[CrawlResponse]) -> Output:
    error = visit.exception()
    return to_serve_error(error) if error else visit.result()
