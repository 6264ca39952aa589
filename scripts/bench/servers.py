"""Starts the programs to compare with, each as a process on a free port."""

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
    """A port on which no process listens now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def running(argv: Sequence[str], port: int) -> Iterator[str]:
    """Run a program and yield its URL when it listens on the port. Raises RuntimeError if it never does."""
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
    """The command of the server at the end of every chain."""
    return [sys.executable, "-m", "scripts.bench.bare", "upstream", port]


@contextmanager
def meter(module: str, *arguments: str) -> Iterator[Callable[[float], float]]:
    """A process with one thread. Calling it with seconds makes it work for so long; it returns its rate."""
    argv, env = [sys.executable, "-m", module, *arguments], {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin
        assert process.stdout

        def rate(seconds: float) -> float:
            print(seconds, file=process.stdin, flush=True)
            return float(process.stdout.readline()) if process.stdout else 0.0

        yield rate
        process.stdin.close()


@contextmanager
def bare_chain() -> Iterator[str]:
    """The bare chain of two proxies, with its upstream server."""
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
    """Two nginx proxies, with their upstream server."""
    folder.mkdir(parents=True, exist_ok=True)
    upstream, first, second = free_port(), free_port(), free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, upstream=upstream, first=first, second=second))
    argv = ["nginx", "-p", str(folder), "-c", str(config), "-e", str(folder / "nginx.log")]
    with running(upstream_command(str(upstream)), upstream), running(argv, first) as url:
        yield url


def has_nginx() -> bool:
    return shutil.which("nginx") is not None
