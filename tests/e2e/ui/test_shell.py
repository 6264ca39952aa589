"""The page around its views: the key, the navigation, light and dark, a phone's width, and updates of the server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.config import hash_key
from scripts.testbed.server import RunningServer, eventually, fake_model
from tests.e2e.ui.browsing import PHONE, expect
from tests.e2e.ui.conftest import Opener

ADMIN = "admin-secret"
PLAIN = "plain-secret"
VIEWS = ["Now", "Playground", "Models", "Jobs", "Requests", "Logs", "Keys", "Configuration"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    keys = [
        {"name": "boss", "key_hash": hash_key(ADMIN), "scopes": ["admin"]},
        {"name": "app", "key_hash": hash_key(PLAIN)},
    ]
    security = {"api_keys": keys, "allow_localhost": False}
    headers = {"authorization": f"Bearer {ADMIN}"}
    with RunningServer(tmp_path_factory.mktemp("shell"), [fake_model("m")], security=security) as server:
        assert server.get("/v1/system/access", headers=headers).json()["admin"]
        yield server


def test_asks_for_the_key_once_and_keeps_it_for_the_tab(opener: Opener) -> None:
    window = opener()
    window.allow_failed_requests = True  # the requests without a valid key
    page = window.open()
    window.check_accessible()
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown")
    page.get_by_label("API key").fill(ADMIN)
    page.keyboard.press("Enter")
    navigation = page.get_by_role("navigation", name="Views").get_by_role("link")
    expect(navigation).to_have_text(VIEWS)
    page.reload()
    expect(navigation).to_have_text(VIEWS)
    other_tab = window.context.new_page()
    other_tab.goto(f"{window.url}/ui")
    other_tab.get_by_label("API key").wait_for()
    page.get_by_role("button", name="Forget key boss").click()
    page.get_by_label("API key").wait_for()
    assert page.evaluate("[...Object.keys(sessionStorage), ...Object.keys(localStorage)]") == []


def test_plain_key_sees_the_playground_only(opener: Opener) -> None:
    window = opener(key=PLAIN)
    page = window.open("keys")
    expect(page.get_by_role("navigation", name="Views").get_by_role("link")).to_have_text(["Playground"])
    expect(page.get_by_role("heading", level=1)).to_have_text("Playground")


def test_every_view_opens_on_a_phone(opener: Opener) -> None:
    window = opener(key=ADMIN)
    page = window.open()
    page.set_viewport_size(PHONE)
    for name in VIEWS:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        expect(page).to_have_title(f"{name} · Enginehouse")
        window.check_width(PHONE["width"])
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(VIEWS[-2])
    page = window.open(VIEWS[-1].lower())
    expect(page.get_by_role("link", name=VIEWS[-1], exact=True)).to_be_in_viewport()


def test_colours_follow_the_system_until_chosen(opener: Opener) -> None:
    window = opener(key=ADMIN, color_scheme="dark")
    page = window.open()
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.emulate_media(color_scheme="light")
    eventually("it is light", lambda: page.evaluate(background) != dark)
    page.get_by_role("button", name="Colours: system").click()
    page.get_by_role("button", name="Colours: light").click()
    eventually("it is dark", lambda: page.evaluate(background) == dark)
    page.reload()
    page.get_by_role("button", name="Colours: dark").wait_for()
    eventually("it is still dark", lambda: page.evaluate(background) == dark)


def test_browsers_get_the_page_at_the_root(opener: Opener) -> None:
    window = opener(key=ADMIN)
    window.page.goto(f"{window.url}/")
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Now")
