"""A load that takes longer than nginx waits for an answer reaches a streaming client all the same."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI

from manager.processes.launchers.command import port_taken
from scripts.testbed.server import RunningServer, eventually, fake_model

LOADING = 90
"""Seconds; nginx gives up after 60 without a byte."""

CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; }} }}
}}
"""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    models = [fake_model(name, load_seconds=LOADING, talk_while_loading=True) for name in ("streamed", "whole")]
    with RunningServer(tmp_path / "server", models) as server:
        yield server


@pytest.fixture
def proxied(server: RunningServer, tmp_path: Path) -> Iterator[str]:
    """The server's address behind nginx with its default timeouts."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists():
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path / "nginx.conf"
    config.write_text(CONFIG.format(folder=tmp_path, port=port, url=server.url))
    with subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL) as nginx:
        try:
            eventually("nginx listens", lambda: port_taken(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            nginx.terminate()


def test_long_load_behind_nginx_reaches_streams(proxied: str) -> None:
    client = OpenAI(base_url=f"{proxied}/v1", api_key="none", max_retries=0, timeout=300)
    stream = client.chat.completions.create(
        model="streamed", messages=[{"role": "user", "content": "one two"}], stream=True
    )
    assert "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices) == "one two"


def test_nginx_gives_up_on_a_silent_answer(proxied: str) -> None:
    """The proof that the other test could fail."""
    body = {"model": "whole", "messages": [{"role": "user", "content": "one two"}]}
    assert httpx2.post(f"{proxied}/v1/chat/completions", json=body, timeout=300, trust_env=False).status_code == 504
