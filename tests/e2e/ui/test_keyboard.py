"""A whole visit by keyboard alone: every view is opened, and used, with Tab, Enter, Space, Escape and arrow keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from contract.config import hash_key
from scripts.testbed.server import RunningServer, fake_model
from tests.e2e.ui.browsing import expect
from tests.e2e.ui.conftest import Opener

ADMIN = "admin-secret"
MOST_STEPS = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    security = {"api_keys": [{"name": "boss", "key_hash": hash_key(ADMIN), "scopes": ["admin"]}]}
    with RunningServer(
        tmp_path_factory.mktemp("keyboard"), [fake_model("m", memory_gb=0.1)], security=security
    ) as server:
        yield server


class Keyboard:
    """Presses keys, as a user without a pointer."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.press = page.keyboard.press

    def reach(self, element: Any, key: str = "Tab") -> None:
        """Move the focus with Tab until the element has it, in sight and with a visible outline."""
        element.wait_for()
        for _ in range(MOST_STEPS):
            if element.evaluate("element => element === document.activeElement"):
                break
            self.press(key)
        expect(element).to_be_focused()
        expect(element).to_be_in_viewport()
        has_outline = "one => [one, one.parentElement].some(one => getComputedStyle(one).outlineStyle !== 'none')"
        assert element.evaluate(has_outline), "the focus cannot be seen"

    def use(self, element: Any, key: str = "Enter") -> None:
        """Reach an element, and press a key there."""
        self.reach(element)
        self.press(key)

    def go(self, view: str) -> None:
        """Open a view from the navigation."""
        self.use(self.page.get_by_role("navigation", name="Views").get_by_role("link", name=view))
        expect(self.page.get_by_role("heading", level=1)).to_have_text(view)


def test_whole_visit_by_keyboard(opener: Opener) -> None:
    window = opener()
    window.allow_failed_requests = True  # the first requests have no key
    page = window.open()
    keyboard = Keyboard(page)
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(f"{ADMIN}\n")
    expect(page.get_by_role("heading", level=1)).to_have_text("Now")
    keyboard.use(page.get_by_role("link", name="Skip to the content"))
    expect(page.locator("main")).to_be_focused()
    _now(keyboard)
    _jobs(keyboard)
    _requests_and_logs(keyboard)
    _keys_and_configuration(keyboard)


def _now(keyboard: Keyboard) -> None:
    page = keyboard.page
    row = page.get_by_role("listitem").filter(has=page.get_by_role("button", name="m", exact=True))
    keyboard.use(page.get_by_role("button", name="Load m"))
    expect(row).to_contain_text("ready")
    keyboard.use(page.get_by_role("button", name="Pin m"), "Space")
    expect(row).to_contain_text("pinned")
    keyboard.reach(page.get_by_role("button", name="m", exact=True), "Shift+Tab")
    keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="m")).to_be_visible()
    keyboard.press("Escape")
    expect(page.get_by_role("button", name="m", exact=True)).to_be_focused()


def _jobs(keyboard: Keyboard) -> None:
    page = keyboard.page
    keyboard.go("Jobs")
    keyboard.use(page.get_by_role("button", name="New job …"))
    keyboard.reach(page.get_by_label("Task"))
    page.keyboard.type("chat")
    keyboard.reach(page.get_by_label("Request, as JSON"))
    keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text('{"model": "m", "messages": [{"role": "user", "content": "by keyboard"}]}')
    keyboard.use(page.get_by_role("button", name="Submit"))
    row = page.get_by_role("listitem").filter(has_text="completed")
    keyboard.use(row.get_by_role("link", name="chat"))
    expect(page.get_by_role("dialog")).to_contain_text("by keyboard")
    keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def _requests_and_logs(keyboard: Keyboard) -> None:
    page = keyboard.page
    keyboard.go("Requests")
    keyboard.use(page.get_by_role("listitem").get_by_role("button").first)
    expect(page.get_by_role("dialog")).to_contain_text("Request id")
    keyboard.use(page.get_by_role("link", name="Find it in the gateway's log"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Logs")
    keyboard.reach(page.get_by_label("Log", exact=True))
    page.keyboard.type("m (")
    expect(page).to_have_url(re.compile("#/logs/m"))
    expect(page.get_by_role("listitem").first).to_be_visible()
    keyboard.use(page.get_by_label("Live"), "Space")
    expect(page.get_by_label("Live")).not_to_be_checked()


def _keys_and_configuration(keyboard: Keyboard) -> None:
    page = keyboard.page
    keyboard.go("Keys")
    keyboard.use(page.get_by_role("button", name="Make a key"))
    keyboard.reach(page.get_by_label("Name"))
    page.keyboard.type("by-keyboard\n")
    keyboard.use(page.get_by_role("button", name="Done"))
    keyboard.use(page.get_by_role("button", name="Revoke by-keyboard"))
    keyboard.use(page.get_by_role("button", name="Revoke", exact=True))
    expect(page.get_by_text("by-keyboard is revoked.")).to_be_visible()
    keyboard.go("Configuration")
    editor = page.get_by_label("The configuration file")
    keyboard.reach(editor)
    keyboard.press("ControlOrMeta+End")
    page.keyboard.type("\n# by keyboard")
    keyboard.press("End")
    expect(page.get_by_text("This can be saved.")).to_be_visible()
    keyboard.use(page.get_by_role("button", name="Compare and save"))
    expect(page.get_by_label("The difference")).to_contain_text("+# by keyboard")
    keyboard.use(page.get_by_role("button", name="Save", exact=True))
    expect(page.get_by_text("Saved, and in force.")).to_be_visible()
