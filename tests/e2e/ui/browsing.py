"""A browser with the page open. Messages in its console, and requests to other servers, fail the test."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contract.errors import LoadFailed
from scripts.testbed.server import PATIENCE, eventually
from workers.engines.crawl import chromium

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
expect.set_options(timeout=PATIENCE * 1000)

AXE = Path(__file__).parents[2] / "support" / "axe" / "axe.min.js"
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
SERIOUS = {"serious", "critical"}
_FAILED_REQUEST = re.compile(r"^Failed to load resource: (the server responded with a status of [45]|net::ERR_)")
"""Chromium's own line for a request that failed. Pages cannot prevent it, so tests of failures expect it."""

CHANGE_ADDRESS = """(hash) => new Promise((resolve) => {
    if (location.hash === hash) return resolve();
    addEventListener("hashchange", resolve, { once: true });
    location.hash = hash;
})"""
"""Resolves once the page, which listened before, has left the view that it showed."""

REMEMBER = """window.said = new Set();
new MutationObserver(() => {
    for (const message of document.querySelectorAll(".toast")) said.add(message.textContent.trim());
}).observe(document, { childList: true, subtree: true });"""
"""Remembers short messages, which go by themselves before a busy machine may have looked."""

OFF_CENTRE = """[...document.querySelectorAll("dialog[open]")].flatMap((dialog) => {
    const {left, right, top, bottom} = dialog.getBoundingClientRect();
    const {clientWidth, clientHeight} = document.documentElement;
    const off = [left - (clientWidth - right), top - (clientHeight - bottom), dialog.scrollWidth - dialog.clientWidth];
    return off.filter((pixels) => Math.abs(pixels) > 2);
})"""


@contextmanager
def running_browser() -> Iterator[Any]:
    """Chromium of this system. Skips the test where there is none."""
    with sync_api.sync_playwright() as playwright:
        try:
            program = chromium.find(None, playwright.chromium.executable_path)
        except LoadFailed as error:
            pytest.skip(error.message)
        # Points are drawn with WebGL, which software draws here. Camera and microphone are Chromium's own test devices.
        arguments = [
            "--enable-unsafe-swiftshader",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
        ]
        browser = playwright.chromium.launch(
            executable_path=program, chromium_sandbox=os.geteuid() != 0, args=arguments
        )
        yield browser
        browser.close()


class OpenPage:
    """The page in a window of its own: `page` is Playwright's. `check` fails if the browser has complained."""

    def __init__(self, browser: Any, url: str, *, key: str | None = None, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(viewport=DESKTOP, **options)
        if key:
            self.context.add_init_script(f"sessionStorage.setItem('enginehouse-key', {key!r})")
        self.context.add_init_script(REMEMBER)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.addresses: list[str] = []
        self.messages: list[str] = []
        self.allow_failed_requests = False
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))

    def open(self, view: str = "") -> Any:
        """Open the page at a view, such as `now`, and wait for its heading."""
        if self.page.url.startswith(f"{self.url}/ui#"):
            self.page.evaluate(CHANGE_ADDRESS, f"#/{view}")
        else:
            self.page.goto(f"{self.url}/ui#/{view}")
        self.page.locator("main h1").first.wait_for()
        return self.page

    def check(self) -> None:
        """Fail if there is a message in the console, or if anything was asked of another server."""
        foreign = [address for address in self.addresses if not address.startswith((self.url, "data:", "blob:"))]
        messages = [
            message for message in self.messages if not (self.allow_failed_requests and _FAILED_REQUEST.match(message))
        ]
        assert not foreign, foreign
        assert not messages, messages

    def start_over(self) -> None:
        """Forget the page and what it has complained of; the files that the browser has loaded stay in its cache."""
        self.page.goto("about:blank")
        self.page.set_viewport_size(DESKTOP)
        self.page.emulate_media(color_scheme="light", reduced_motion="reduce")
        self.addresses.clear()
        self.messages.clear()
        self.allow_failed_requests = False

    def check_accessible(self, selector: str | None = None) -> None:
        """Fail if axe-core finds something serious on a desktop or a phone, light or dark.

        Only the contrast depends on both, so that all other rules, which take longer, are checked once for each size.
        """
        for size, whole in ((DESKTOP, "light"), (PHONE, "dark")):
            for scheme in ("light", "dark"):
                self._check_look(size, scheme, selector, all_rules=scheme == whole)
        self.page.set_viewport_size(DESKTOP)

    def check_part(self, selector: str) -> None:
        """Like `check_accessible`, for one part of the page."""
        self.check_accessible(selector)
        self.page.emulate_media(color_scheme="light")

    def _check_look(
        self, size: dict[str, int], scheme: str, selector: str | None = None, *, all_rules: bool = True
    ) -> None:
        self.page.set_viewport_size(size)
        self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        self._check_with_axe(selector, f"{size['width']} px, {scheme}", all_rules=all_rules)
        self.check_width(size["width"])
        self._check_dialogs()

    def _check_with_axe(self, selector: str | None, where: str, *, all_rules: bool) -> None:
        if not self.page.evaluate("typeof window.axe === 'object'"):
            self.page.evaluate(AXE.read_text())
        options = {"resultTypes": ["violations"], "preload": False}
        violations = self.page.evaluate(
            "([part, options]) => axe.run(part ?? document, options).then((result) => result.violations)",
            [selector, options if all_rules else {**options, "runOnly": ["color-contrast"]}],
        )
        serious = [
            (violation["id"], [node["html"][:200] for node in violation["nodes"][:3]])
            for violation in violations
            if violation["impact"] in SERIOUS
        ]
        assert serious == [], where

    def check_width(self, width: int) -> None:
        """Nothing makes the page wider than the screen, once the page has noticed how wide that is."""
        script = "document.documentElement.scrollWidth"
        eventually(f"the page is at most {width} px wide", lambda: self.page.evaluate(script) <= width)

    def _check_dialogs(self) -> None:
        """Dialogs are in the middle of the screen, and nothing in them is wider than they are."""
        eventually("dialogs are centred and hold what is in them", lambda: not self.page.evaluate(OFF_CENTRE))

    def close(self) -> None:
        """Close the window and forget what it has stored."""
        self.context.close()


def expect_said(page: Any, text: str) -> None:
    """Wait until there was a short message with this text."""
    eventually(f"the page says: {text}", lambda: text in page.evaluate("[...said].join('\\n')"))


@contextmanager
def open_window(url: str) -> Iterator[OpenPage]:
    """A window of a browser of its own, for a test beside those of the page. Fails like `OpenPage.check`."""
    with running_browser() as browser:
        window = OpenPage(browser, url)
        yield window
        window.check()
        window.close()
