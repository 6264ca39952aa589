"""The manager's control paths in a running server: which requests reach them, and forgetting measured memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from scripts.testbed.http import local_client
from scripts.testbed.server import ROOT, RunningServer, eventually, fake_model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("server"), [fake_model("m", memory_mb=50)]) as running:
        yield running


def ask_manager(server: RunningServer, method: str, path: str, **headers: str) -> httpx2.Response:
    """Send a request to the manager itself, with its token."""
    address, token = ((server.home / "manager" / name).read_text().strip() for name in ("address", "token"))
    sent = {"authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    with local_client() as http:
        return http.request(method, address + path, headers=sent)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "manager:8100"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:8100"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
    ],
    ids=lambda headers: "-".join(*headers.items()),
)
def test_web_pages_do_not_reach_the_manager(server: RunningServer, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/evict/m"), ("GET", "/status"), ("GET", "/ready"), ("POST", "/v1/chat/completions")):
        refused = ask_manager(server, method, path, x_enginehouse_model="m", **headers)
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]", "host.docker.internal:8100"])
def test_tools_and_containers_reach_the_manager(server: RunningServer, host: str) -> None:
    assert ask_manager(server, "GET", "/status", host=host).status_code == 200


def test_pages_of_allowed_origins_reach_models(server: RunningServer) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"origin": server.url, "sec-fetch-site": "same-origin"}
    assert server.post("/v1/chat/completions", body, headers=headers).status_code == 200


def test_measured_memory_is_forgotten_on_request(server: RunningServer) -> None:
    assert make_forget(server, "nosuch").returncode == 1
    server.chat("m")
    eventually("it is measured", lambda: footprints(server))
    ask_manager(server, "POST", "/evict/m")
    forgotten = make_forget(server, "m")
    assert (forgotten.returncode, forgotten.stdout) == (0, "The measured memory of m is forgotten.\n")
    assert footprints(server) == {}
    assert make_forget(server, "m").stdout == "Nothing was measured of m.\n"
    assert ask_manager(server, "POST", "/forget/nosuch").status_code == 404
    server.chat("m")
    eventually("it is measured again", lambda: footprints(server))


def make_forget(server: RunningServer, model: str) -> subprocess.CompletedProcess[str]:
    """What `make forget MODEL=…` runs."""
    places = {"ENGINEHOUSE_CONFIG": str(server.config), "ENGINEHOUSE_HOME": str(server.home), "MODEL": model}
    command = [sys.executable, "-m", "scripts.control", "forget"]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | places, check=False, capture_output=True, text=True, timeout=100
    )


def footprints(server: RunningServer) -> dict[str, Any]:
    """What was measured so far."""
    path = server.home / "manager" / "footprints.json"
    measured: dict[str, Any] = json.loads(path.read_text())["starts"] if path.exists() else {}
    return measured
