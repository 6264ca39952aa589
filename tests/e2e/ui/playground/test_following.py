"""The playground follows the server while it is open: which models there are, and which of them are loaded."""

from __future__ import annotations

from typing import Any

from scripts.testbed.server import RunningServer, fake_model
from tests.e2e.ui.browsing import OpenPage, expect
from tests.e2e.ui.playground_page import open_tab


def option(page: Any, model: str) -> Any:
    return page.get_by_label("Model", exact=True).locator("option").filter(has_text=model)


def test_list_of_models_follows_what_is_loaded(window: OpenPage, server: RunningServer) -> None:
    page = open_tab(window, "completions", "first")
    for _ in range(2):
        server.post("/models/load", {"model": "first"}).raise_for_status()
        expect(option(page, "first")).to_have_text("first · loaded")
        server.post("/v1/system/evict/first").raise_for_status()
        expect(option(page, "first")).to_have_text("first")
    expect(page.get_by_label("Model", exact=True)).to_have_value("first")


def test_list_of_models_follows_the_configuration(window: OpenPage, server: RunningServer) -> None:
    page = open_tab(window, "completions", "first")
    page.get_by_label("Prompt *").fill("half a thought")
    server.post("/api/models", fake_model("newcomer")).raise_for_status()
    expect(option(page, "newcomer")).to_have_count(1)
    server.request("DELETE", "/api/models/newcomer?entry=true&files=false").raise_for_status()
    expect(option(page, "newcomer")).to_have_count(0)
    expect(page.get_by_label("Prompt *")).to_have_value("half a thought")
