"""Starts what the house is compared with, each server as a process of its own on a free port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0

_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log error;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream next {{ server 127.0.0.1:{upstream}; keepalive 64; }}
  upstream second {{ server 127.0.0.1:{second}; keepalive 64; }}
  proxy_http_version 1.1; proxy_set_header Connection "";
  server {{ listen 127.0.0.1:{first}; location / {{ proxy_pass http://second; }} }}
  server {{ listen 127.0.0.1:{second}; location / {{ proxy_pass http://next; }} }}
}}
"""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def running(argv: Sequence[str], port: int) -> Iterator[str]:
    """Run a program that listens on the port. Gives its address once it does; raises RuntimeError if it ends before."""
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        _wait_until_it_listens(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


def upstream_command(port: str) -> list[str]:
    """The server at the end of every chain."""
    return [sys.executable, "-m", "scripts.bench.bare", "upstream", port]


@contextmanager
def meter(module: str, *arguments: str) -> Iterator[Callable[[float], float]]:
    """A process on one thread that answers a number of seconds on its stdin with the rate that it reached in them."""
    argv, env = [sys.executable, "-m", module, *arguments], {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as it:
        assert it.stdin
        assert it.stdout

        def rate(seconds: float) -> float:
            print(seconds, file=it.stdin, flush=True)
            return float(it.stdout.readline()) if it.stdout else 0.0

        yield rate
        it.stdin.close()


@contextmanager
def bare_chain() -> Iterator[str]:
    """The bare two-hop chain in front of an upstream of its own."""
    with ExitStack() as stack:
        port = free_port()
        url = stack.enter_context(running(upstream_command(str(port)), port))
        for name in ("second", "first"):
            port = free_port()
            argv = [sys.executable, "-m", "scripts.bench.bare", name, str(port), url]
            url = stack.enter_context(running(argv, port))
        yield url


@contextmanager
def nginx_chain(folder: Path) -> Iterator[str]:
    """nginx before nginx, in front of an upstream of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    upstream, first, second = free_port(), free_port(), free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, upstream=upstream, first=first, second=second))
    argv = ["nginx", "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx.log")]
    with running(upstream_command(str(upstream)), upstream), running(argv, first) as url:
        yield url


def has_nginx() -> bool:
    return shutil.which("nginx") is not None
