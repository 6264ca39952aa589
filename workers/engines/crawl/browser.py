"""The worker's Chromium: started by Playwright, and started again if it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from contract import __version__
from contract.errors import LoadFailed
from workers.engines.crawl import chromium
from workers.engines.crawl.chromium import UNPRIVILEGED, LaunchWay
from workers.engines.crawl.proxy import CrawlProxy

if TYPE_CHECKING:
    from playwright.async_api import Browser

log = logging.getLogger(__name__)

_PASSED_ON = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR")
_PASSED_ON_PREFIXES = ("LC_", "FONTCONFIG_", "ENGINEHOUSE_")
_BYPASS = "PLAYWRIGHT_DISABLE_FORCED_CHROMIUM_PROXIED_LOOPBACK"
"""Set, this variable makes Playwright let the browser connect to this machine without the proxy."""


class ChromiumProcess:
    """Chromium, between `start` and `close`. `agent` is added to the name under which it visits sites."""

    def __init__(self, executable: str | None, sandbox: bool | None, agent: str) -> None:
        self._executable = executable
        self._sandbox = sandbox
        self._agent = agent
        self._lock = asyncio.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="enginehouse-crawl-")
        self._own_traffic = CrawlProxy(lambda _: False, 0)  # that of no page, such as updates: none is needed
        self._browser: Browser | None = None
        self.way: LaunchWay
        self.user_agent = ""

    async def start(self) -> None:
        """Start it in the safest way that works. Raises LoadFailed."""
        from playwright.async_api import async_playwright

        os.environ.pop(_BYPASS, None)
        await self._own_traffic.__aenter__()
        self._playwright = await async_playwright().start()
        self._program = chromium.find(self._executable, self._playwright.chromium.executable_path)
        self._browser = await self._launch_first(chromium.ways(self._sandbox, root=os.geteuid() == 0))
        self.user_agent = await self._find_user_agent(self._browser)
        log.info("%s %s, sandbox: %s", self._program, self._browser.version, "on" if self.way.sandbox else "off")
        if self.way.weakness:
            log.warning("%s", self.way.weakness)

    async def get(self) -> Browser:
        """The running browser; a new one if it has crashed."""
        async with self._lock:
            if self._browser is None or not self._browser.is_connected():
                log.warning("Chromium has ended; starting it again")
                self._browser = await self._launch(self.way)
            return self._browser

    async def close(self) -> None:
        """End the browser and everything that it started."""
        with suppress(Exception):  # it may have ended already
            if self._browser:
                await self._browser.close()
            await self._playwright.stop()
        await self._own_traffic.__aexit__(None, None, None)
        self._folder.cleanup()

    async def _launch_first(self, ways: list[LaunchWay]) -> Browser:
        from playwright.async_api import Error

        failure = ""
        for way in ways:
            try:
                browser = await self._launch(way)
            except Error as error:
                failure = str(error)
                log.info("Chromium does not start with %s: %s", way, failure)
                continue
            self.way = way
            return browser
        if self._sandbox:
            hint = "With `options: {sandbox: false}` it runs without its sandbox, which is less safe."
            raise LoadFailed(f"Chromium does not start with its sandbox. {hint} The worker's log has its output.")
        raise LoadFailed(f"{self._program} does not start: {failure[:500]}")

    async def _launch(self, way: LaunchWay) -> Browser:
        return await self._playwright.chromium.launch(
            executable_path=self._unprivileged() if way.unprivileged else self._program,
            chromium_sandbox=way.sandbox,
            args=list(chromium.ARGUMENTS),
            env=_environment(),
            proxy={"server": self._own_traffic.url},
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )

    def _unprivileged(self) -> str:
        """A program that starts Chromium as an unprivileged user, since Playwright takes no command with arguments."""
        script = Path(self._folder.name, "chromium-unprivileged")
        command = shlex.join([sys.executable, "-I", str(UNPRIVILEGED), self._program])
        script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        script.chmod(0o700)
        return str(script)

    async def _find_user_agent(self, browser: Browser) -> str:
        """The browser's own, as other crawlers send it: with the crawler's name at the end."""
        page = await browser.new_page()
        try:
            own = str(await page.evaluate("navigator.userAgent"))
        finally:
            await page.close()
        return f"{own.replace('HeadlessChrome', 'Chrome')} {self._agent}/{__version__}"


def _environment() -> dict[str, str | float | bool]:
    """What the browser sees of our environment: no tokens, and what marks it as a process of this worker."""
    return {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
