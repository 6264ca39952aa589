"""The gateway as a program: start, configuration errors, shutdown, memory, version."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import psutil
import pytest

from contract import __version__
from scripts.testbed.http import local_client
from tests.support.gateway_processes import (
    ROOT,
    FakeManagerProcess,
    GatewayExited,
    GatewayProcess,
    configuration,
    run_gateway,
)


def api_key(rate_limit: str) -> dict[str, str]:
    return {"name": "a", "key_hash": "sha256:" + "0" * 64, "rate_limit": rate_limit}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"security": {"ip_allowlist": ["10.0.0.0/99"]}}, "ip_allowlist"),
        ({"security": {"api_keys": [api_key("often")]}}, "60/minute"),
        ({"security": {"api_keys": [api_key("0/minute")]}}, "60/minute"),
        ({"gateway": {"prot": 1}}, "did you mean `port`"),
        ({"gateway": {"host": "192.0.2.1"}}, "this machine has no address '192.0.2.1'"),
    ],
)
def test_exits_with_a_message_on_a_wrong_configuration(tmp_path: Path, section: dict, words: str) -> None:
    with pytest.raises(GatewayExited, match="2"), run_gateway(tmp_path, configuration(1, **section)):
        pass
    log = (tmp_path / "gateway.log").read_text()
    assert words in log
    assert "Traceback" not in log


def test_exits_with_a_message_if_the_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = configuration(1, gateway={"port": port})
        with pytest.raises(GatewayExited, match="2"), run_gateway(tmp_path, settings):
            pass
    last = (tmp_path / "gateway.log").read_text().splitlines()[-1]
    assert last.endswith(f"cannot listen on 127.0.0.1, port {port}: another program uses this port")


def test_stops_cleanly(tmp_path: Path, manager: FakeManagerProcess) -> None:
    with run_gateway(tmp_path, configuration(manager.port)) as gateway:
        gateway.process.terminate()
        assert gateway.process.wait(100) == 0
        assert not (gateway.home / "gateway" / "address").exists()


def test_second_gateway_on_same_state_folder_is_refused(tmp_path: Path, gateway: GatewayProcess) -> None:
    file = gateway.home / "gateway" / "address"
    address = file.read_text()
    environ = os.environ | {"ENGINEHOUSE_CONFIG": str(tmp_path / "c.yaml"), "ENGINEHOUSE_HOME": str(gateway.home)}
    (tmp_path / "c.yaml").write_text("gateway: {host: 127.0.0.1, port: 0}")
    command = [sys.executable, "-m", "gateway"]
    second = subprocess.run(command, cwd=ROOT, env=environ, check=False, capture_output=True, text=True, timeout=100)
    assert second.returncode == 2
    assert f"another gateway (pid {gateway.process.pid}) uses {gateway.home}" in second.stderr
    assert file.read_text() == address
    assert gateway.http.get("/healthz").status_code == 200


def test_idle_gateway_needs_little_memory(gateway: GatewayProcess) -> None:
    assert psutil.Process(gateway.process.pid).memory_info().rss < 120 * 2**20


def test_version_matches_the_package() -> None:
    assert re.search(rf'^version = "{re.escape(__version__)}"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_few_descriptors_lower_the_limit_of_connections(tmp_path: Path, manager: FakeManagerProcess) -> None:
    """With 160 descriptors, about 32 clients are served at once, as many learn the reason, and the rest is closed."""
    with ExitStack() as stack, run_gateway(tmp_path, configuration(manager.port), "ulimit -n 160") as gateway:
        gateway.wait_ready()
        gateway.http.close()
        clients = [stack.enter_context(local_client(base_url=gateway.address)) for _ in range(96)]
        with ThreadPoolExecutor(len(clients)) as threads:
            answers = [answer for answer in threads.map(embed, clients) if answer]
        refusals = {answer.json()["error"]["message"] for answer in answers if answer.status_code != 200}
        assert len(refusals) == 1
        assert refusals.pop().startswith("The server has 32 connections open, its limit.")
        assert len([answer for answer in answers if answer.status_code == 200]) >= 30


def embed(client: httpx2.Client) -> httpx2.Response | None:
    try:
        return client.post("/v1/embeddings", json={"model": "ok", "input": "x"})
    except httpx2.TransportError:
        return None
