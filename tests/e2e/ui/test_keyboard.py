"""A whole visit by keyboard alone: every view is opened, and used, with Tab, Enter, Space, Escape and arrow keys."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from contract.config import hash_key
from scripts.testbed.server import RunningServer, fake_model
from tests.e2e.ui.browsing import expect, expect_said
from tests.e2e.ui.conftest import Opener
from tests.e2e.ui.keyboard import Keyboard

ADMIN = "admin-secret"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    security = {"api_keys": [{"name": "boss", "key_hash": hash_key(ADMIN), "scopes": ["admin"]}]}
    with RunningServer(
        tmp_path_factory.mktemp("keyboard"), [fake_model("m", memory_gb=0.1)], security=security
    ) as server:
        yield server


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
    _models(keyboard)
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


def _models(keyboard: Keyboard) -> None:
    page = keyboard.page
    keyboard.go("Models")
    keyboard.reach(page.get_by_label("Find", exact=True))
    page.keyboard.type("minilm")
    expect(page.get_by_role("button", name="Add minilm")).to_be_visible()
    keyboard.choose(page.get_by_label("Task"), "embeddings")
    expect(page).to_have_url(re.compile("task=embeddings"))
    keyboard.use(page.get_by_role("button", name="Add minilm"))
    row = page.get_by_role("listitem").filter(has=page.get_by_role("button", name="minilm", exact=True))
    expect(row).to_contain_text("stopped")
    keyboard.use(page.get_by_label("Configured"), "Space")
    expect(page.get_by_role("listitem")).to_have_count(1)
    keyboard.use(page.get_by_role("button", name="minilm", exact=True))
    expect(page.get_by_role("dialog")).to_contain_text("engine: sentence_transformers")
    keyboard.press("Escape")
    keyboard.use(page.get_by_role("button", name="Remove minilm"))
    keyboard.use(page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True))
    expect(page.get_by_text("No model matches")).to_be_visible()
    keyboard.use(page.get_by_role("button", name="Pull from the hub …"))
    expect(page.get_by_label("Model", exact=True)).to_be_focused()
    keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def _jobs(keyboard: Keyboard) -> None:
    page = keyboard.page
    keyboard.go("Jobs")
    keyboard.use(page.get_by_role("button", name="New job …"))
    keyboard.choose(page.get_by_label("Task"), "chat")
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
    keyboard.choose(page.get_by_label("Log", exact=True), "m")
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
    expect_said(page, "by-keyboard is revoked.")
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
    expect_said(page, "Saved, and in force.")
