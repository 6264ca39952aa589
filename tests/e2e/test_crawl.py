"""Crawling through a running server: its setting for private networks, its memory, and its idle timeout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scripts.testbed.server import RunningServer, eventually
from tests.support.web_site import WebSite, web_site

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    entry = {"id": "crawl", "engine": "crawl", "default": ["crawl"], "memory_gb": 0.8}
    folder: Path = tmp_path_factory.mktemp("crawl")
    with RunningServer(folder, [entry], gateway={"allow_private": ["127.0.0.1"]}) as server:
        yield server


@pytest.fixture(scope="module")
def site() -> Iterator[WebSite]:
    with web_site() as site:
        site.html("/", "<p id=p></p><script>document.getElementById('p').innerText = 'written by a script'</script>")
        yield site


def browsers(server: RunningServer) -> list[psutil.Process]:
    return [process for process in server.descendants() if "chrom" in process.name()]


def test_crawls_and_leaves_nothing_behind(server: RunningServer, site: WebSite) -> None:
    answer = server.post("/v1/crawl", {"url": site.url, "keep_alive": 300, "screenshot": True})
    if answer.status_code == 503 and "no Chromium" in answer.text:
        pytest.skip(answer.json()["error"]["message"])
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert (page["text"], page["title"], page["object"]) == ("written by a script", "Title", "page")
    [worker] = server.workers("crawl")
    assert browsers(server)
    eventually("its memory includes the browser's", lambda: server.workers("crawl")[0]["memory_bytes"] > 150 * 2**20)
    assert server.model("crawl")["facts"]["sandbox"]
    assert server.post("/v1/crawl", {"url": site.url, "keep_alive": 0}).status_code == 200
    eventually("the worker has ended", lambda: not server.workers("crawl"))
    assert worker["pid"] not in psutil.pids()
    eventually("the browser has ended", lambda: not browsers(server))


def test_a_killed_worker_leaves_no_browser(server: RunningServer, site: WebSite) -> None:
    assert server.post("/v1/crawl", {"url": site.url, "keep_alive": 300}).status_code in {200, 503}
    for worker in server.workers("crawl"):
        psutil.Process(worker["pid"]).kill()
    eventually("the browser has ended", lambda: not browsers(server))


def test_errors_reach_the_client(server: RunningServer) -> None:
    answer = server.post("/v1/crawl", {"url": "http://127.0.0.2/"})
    if answer.status_code == 503 and "no Chromium" in answer.text:
        pytest.skip(answer.json()["error"]["message"])
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_field", "url")
    assert "allow_private" in error["message"]
    refused = server.post("/v1/crawl", {"url": "file:///etc/passwd"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "url")
