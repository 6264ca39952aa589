"""The dialogs of the page: readable, in the middle and no wider than a desktop or a phone, in light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.testbed.server import RunningServer, fake_model
from tests.e2e.ui.browsing import PHONE, OpenPage, expect
from tests.e2e.ui.conftest import shared_window, window_fixture  # noqa: F401 - fixtures

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
