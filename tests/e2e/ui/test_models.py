"""The view Models of a running server: filters, downloads with a bar, entries that come and go."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed import hub
from scripts.testbed.server import RunningServer, fake_model
from tests.e2e.ui.browsing import expect, expect_said
from tests.e2e.ui.conftest import Opener
from tests.support import hub_repositories


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[hub.Hub]:
    folder = tmp_path_factory.mktemp("hub")
    folders = hub_repositories.make(folder / "files", {"a/lm": hub_repositories.MODEL})
    with hub.serve(folders) as served, pytest.MonkeyPatch.context() as patch:
        for name, value in hub_repositories.environment(served, folder / "cache").items():
            patch.setenv(name, value)
        yield served


@pytest.fixture(scope="module")
def server(served: hub.Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("models")
    entries = [{"id": "lm", "engine": "transformers_chat", "source": "a/lm"}, fake_model("m", memory_gb=0.1)]
    with RunningServer(folder, entries) as server:
        yield server


def row_of(page: Any, model: str) -> Any:
    return page.get_by_role("listitem").filter(has=page.get_by_role("button", name=model, exact=True))


def test_filters_the_catalogue(opener: Opener, server: RunningServer) -> None:
    window = opener()
    page = window.open("models")
    count = page.get_by_text(re.compile(r"^\d+ models$"))
    total = server.get("/api/models").json()["count"]
    expect(count).to_have_text(f"{total} models")
    page.get_by_label("Task").select_option("depth")
    expect(row_of(page, "depth-small")).to_be_visible()
    expect(row_of(page, "sam3")).to_have_count(0)
    page.get_by_label("Licence").select_option("Apache-2.0")
    expect(row_of(page, "depth-large")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Task")).to_have_value("depth")
    window.open("models?find=sam3")
    expect(row_of(page, "sam3")).to_contain_text("gated")
    page.get_by_label("Find").fill("")
    page.get_by_label("Configured").check()
    expect(count).to_have_text("2 models")
    window.check_accessible()


def test_pulls_with_a_bar_and_removes_the_files(opener: Opener, server: RunningServer, served: hub.Hub) -> None:
    served.go.clear()
    served.faults["a/lm/model.safetensors"] = "stalled"
    window = opener()
    page = window.open("models?configured=yes")
    lm = row_of(page, "lm")
    page.get_by_role("button", name="Pull lm").click()
    expect(page.get_by_role("progressbar", name="Download of lm")).to_be_visible()
    expect(lm).to_contain_text(re.compile(r"of [\d.]+ (bytes|KiB|MiB)"))
    served.go.set()
    expect(lm).to_contain_text("downloaded")
    page.get_by_role("button", name="Remove lm").click()
    expect(page.get_by_label(re.compile("Its files"))).to_be_checked()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect_said(page, "are free again")
    expect(lm).not_to_contain_text("downloaded")


def test_ends_a_download_and_explains_one_that_fails(opener: Opener, server: RunningServer, served: hub.Hub) -> None:
    served.go.clear()
    served.faults["a/lm/model.safetensors"] = "stalled"
    page = opener().open("models?configured=yes")
    page.get_by_role("button", name="Pull lm").click()
    page.get_by_role("button", name="Cancel the download of lm").click()
    expect(page.get_by_role("button", name=re.compile("Pull lm"))).to_be_visible()
    served.go.set()
    window = opener()
    window.allow_failed_requests = True
    page = window.open("models")
    page.get_by_role("button", name="Pull from the hub …").click()
    page.get_by_label("Model", exact=True).fill("not a name")
    page.get_by_role("dialog").get_by_role("button", name="Pull").click()
    expect(page.get_by_role("alert")).to_contain_text("not a name")


def test_adds_a_model_of_the_catalogue_and_removes_it(opener: Opener, server: RunningServer) -> None:
    page = opener().open("models?find=minilm")
    page.get_by_role("button", name="Add minilm").click()
    expect(row_of(page, "minilm")).to_contain_text("stopped")
    assert "minilm" in server.config.read_text()
    page.get_by_role("button", name="minilm", exact=True).click()
    details = page.get_by_role("dialog")
    expect(details).to_contain_text("engine: sentence_transformers")
    expect(details.get_by_role("table", name="Memory")).to_contain_text("GiB")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove minilm").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("button", name="Add minilm")).to_be_visible()
    assert "minilm" not in server.config.read_text()
