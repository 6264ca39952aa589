"""Dialogs: readable, in the middle, and no wider than the screen. Short messages: there until they could be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.testbed.server import RunningServer, fake_model
from tests.e2e.ui.browsing import PHONE, OpenPage, expect
from tests.e2e.ui.conftest import Opener
from tests.e2e.ui.playground_page import give

Opening = Callable[[Any], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("dialogs")
    with RunningServer(folder, [fake_model("m", idle_timeout=3600)], gateway={"capture_requests": 5}) as server:
        server.chat("m")
        yield server


def press(name: str) -> Opening:
    def opening(page: Any) -> None:
        page.get_by_role("button", name=re.compile(f"^{name}")).first.click()

    return opening


def change_the_file(page: Any) -> None:
    editor = page.get_by_label("The configuration file")
    expect(editor).not_to_have_value("")
    editor.fill(editor.input_value() + "# a line that is new\n")
    page.get_by_role("button", name="Compare and save").click()


def open_the_request(page: Any) -> None:
    page.locator(".request-list button").first.click()
    page.get_by_role("dialog").get_by_text("Sent").click()


DIALOGS: dict[tuple[str, str], Opening] = {
    ("now", "m"): press("m$"),
    ("now", "Keep m"): press("Keep"),
    ("models", "Pull from the hub"): press("Pull from the hub"),
    ("models?configured=yes", "Remove m"): press("Remove"),
    ("jobs", "New job"): press("New job"),
    ("requests", "Request"): open_the_request,
    ("logs/m", "Line"): lambda page: page.locator(".log-line").first.click(),
    ("keys", "Make a key"): press("Make a key"),
    ("configuration", "Save the configuration?"): change_the_file,
    ("playground/ocr", "Camera"): press("Camera"),
}


@pytest.mark.parametrize(("view", "name"), DIALOGS)
def test_dialog_is_readable_and_in_the_middle(window: OpenPage, view: str, name: str) -> None:
    page = window.open(view)
    DIALOGS[view, name](page)
    expect(page.get_by_role("dialog", name=name)).to_be_visible()
    window.check_part("dialog")


def test_workers_of_a_model_are_seen_whole_on_a_phone(window: OpenPage) -> None:
    page = window.open("now")
    press("m$")(page)
    dialog = page.get_by_role("dialog", name="m")
    expect(dialog.get_by_role("cell", name="m#1")).to_be_visible()
    page.set_viewport_size(PHONE)
    for name in ("At work", "Served", "Started in"):
        expect(dialog.get_by_text(name)).to_be_visible()
    expect(dialog.get_by_role("table")).to_have_count(0)


def with_clock(opener: Opener, view: str, button: str) -> Any:
    """The page in a window whose clock stops once there is a button, and goes on when a test says so."""
    window = opener()
    window.page.clock.install()
    page = window.open(view)
    expect(page.get_by_role("button", name=button)).to_be_visible()
    page.clock.pause_at(page.evaluate("Date.now() / 1000") + 600)
    return page


def wait_long(page: Any) -> None:
    """Let a minute pass, and then another: what goes by itself is gone."""
    for _ in range(2):
        page.clock.fast_forward("01:00")


def message(page: Any, text: str) -> Any:
    return page.locator(".toast").filter(has_text=text)


def test_failures_stay_until_each_is_dismissed(opener: Opener) -> None:
    page = with_clock(opener, "playground/ocr", "Camera")
    names = [f"notes-{number}.txt" for number in range(6)]
    for name in names:
        give(page.locator(".drop-zone"), "drop", {"name": name, "mimeType": "text/plain", "buffer": b"notes"})
    wait_long(page)
    expect(page.locator(".toast")).to_have_text([f"{name} is not an image." for name in names])
    page.get_by_role("button", name="Dismiss").first.click()
    expect(message(page, names[0])).to_have_count(0)
    second = message(page, names[1]).get_by_role("button", name="Dismiss", description=f"{names[1]} is not an image.")
    second.focus()
    for rest in range(len(names) - 1, 0, -1):
        expect(page.locator(".toast")).to_have_count(rest)
        expect(page.locator(".toast button:focus")).to_have_count(1)
        page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_have_count(0)
    expect(page.get_by_role("main")).to_be_focused()


def test_success_goes_unless_pointer_or_focus_is_on_it(opener: Opener) -> None:
    page = with_clock(opener, "now", "Pin m")
    said, pin = page.locator(".toast"), page.get_by_role("button", name="Pin m")
    pin.click()
    expect(said).to_have_text("m stays in memory until you unpin it.")
    said.hover()  # however long that takes, no time passes
    wait_long(page)
    expect(said).to_have_count(1)
    page.mouse.move(0, 0)
    wait_long(page)
    expect(said).to_have_count(0)
    pin.click()
    said.get_by_role("button", name="Dismiss").focus()
    wait_long(page)
    expect(said).to_have_count(1)
    pin.focus()
    wait_long(page)
    expect(said).to_have_count(0)


def test_message_over_a_dialog_can_be_dismissed(opener: Opener) -> None:
    window = opener()
    page = window.open("logs/m")
    DIALOGS["logs/m", "Line"](page)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')); }")
    dialog = page.get_by_role("dialog", name="Line")
    dialog.get_by_role("button", name="Copy").click()
    expect(message(page, "Select the text instead.")).to_have_count(1)
    window.check_part("dialog")
    dialog.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".toast")).to_have_count(0)
    dialog.get_by_role("button", name="Copy").click()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Dismiss").click()  # it stays when the dialog is closed
    expect(page.locator(".toast")).to_have_count(0)
