"""/docs and /redoc in a real browser: "Try it out" sends the printed example, and nothing comes from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.errors import LoadFailed
from scripts.testbed.server import PATIENCE, RunningServer, fake_model
from tests.conftest import Models
from workers.engines.crawl import chromium

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.e2e

FAMILIES = {
    "tasks": ("post", "/v1/chat/completions", "choices"),
    "jobs": ("get", "/jobs", "jobs"),
    "batches": ("get", "/v1/batches", "data"),
    "models": ("get", "/v1/models", "data"),
    "system": ("get", "/v1/system/status", "models"),
    "Vision models server": ("post", "/inference/depth-anything", "depth_data"),
    "Depth Anything V2 server": ("post", "/rel_depth", "depth_map"),
    "AI Inference API": ("post", "/v1/infer", "id"),
    "Homelab AI Services API": ("post", "/api/embed", "embeddings"),
    "Ollama API": ("post", "/api/chat", "message"),
    "Anthropic Messages API": ("post", "/v1/messages", "content"),
    "OpenAI Responses API": ("post", "/v1/responses", "output"),
    "Cohere API": ("post", "/v2/embed", "embeddings"),
    "Jina API": ("post", "/rerank", "results"),
    "Text Embeddings Inference": ("get", "/info", "model_id"),
}
"""One path of each family, and a field of its answer."""

_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
"""ReDoc's own logo, which the policy of the page keeps it from loading."""


@pytest.fixture(scope="module")
def server(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Fake models and a tiny depth model, under the names that the examples mention."""
    entries: list[dict[str, Any]] = [
        {**fake_model("vlm-best"), "tasks": ["chat", "ocr"], "default": ["chat", "ocr"]},
        {**fake_model("minilm"), "tasks": ["embeddings"], "default": ["embeddings"]},
        {**fake_model("ranker"), "tasks": ["rerank"], "default": ["rerank"]},
        {**fake_model("image-gen"), "tasks": ["image-generation"], "default": ["image-generation"]},
    ]
    depth = {"engine": "depth_anything", "source": str(models("depth_metric")), "options": {"threads": 1}}
    entries.append({"id": "depth-anything-v3", "default": ["depth"], "aliases": ["vitl-hypersim"], **depth})
    folder: Path = tmp_path_factory.mktemp("reference")
    with RunningServer(folder, entries) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        try:
            program = chromium.find(None, playwright.chromium.executable_path)
        except LoadFailed as error:
            pytest.skip(error.message)
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


class Visit:
    """A page in the browser, the addresses that it asked for, and its complaints."""

    def __init__(self, browser: Any, url: str) -> None:
        self.addresses: list[str] = []
        self.messages: list[str] = []
        self.page = browser.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("request", lambda request: self.addresses.append(request.url))
        self.page.on("console", lambda message: self._note(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.goto(url)

    def _note(self, message: str) -> None:
        if _LOGO not in message:
            self.messages.append(message)

    def check(self, server: RunningServer) -> None:
        """Fail if the page loaded anything from elsewhere, or broke its policy."""
        foreign = [address for address in self.addresses if not address.startswith((server.url, "data:", "blob:"))]
        assert ([address for address in foreign if address != _LOGO], self.messages) == ([], [])


@pytest.fixture(scope="module")
def docs(browser: Any, server: RunningServer) -> Visit:
    return Visit(browser, f"{server.url}/docs")


@pytest.mark.parametrize("family", FAMILIES)
def test_printed_example_gets_an_answer(server: RunningServer, docs: Visit, family: str) -> None:
    method, path, field = FAMILIES[family]
    block = docs.page.locator(f".opblock-{method}", has=docs.page.locator(f'[data-path="{path}"]'))
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    response = block.locator(".live-responses-table .response").first
    assert response.locator(".response-col_status").inner_text().strip().startswith("200"), response.inner_text()
    assert f'"{field}"' in response.inner_text()
    docs.check(server)


def test_every_family_is_tried(server: RunningServer) -> None:
    tags = server.get("/openapi.json").json()["tags"]
    assert {tag["name"] for tag in tags} == FAMILIES.keys()


def test_redoc_shows_every_family(server: RunningServer, browser: Any) -> None:
    redoc = Visit(browser, f"{server.url}/redoc")
    menu = redoc.page.locator(".menu-content")
    for family in FAMILIES:
        menu.get_by_text(family, exact=True).first.wait_for()
    redoc.check(server)
