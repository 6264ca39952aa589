"""Runs an ASGI app under uvicorn, the same way for gateway, manager and worker."""

from __future__ import annotations

import logging
import socket
import sys

import uvicorn
from starlette.types import ASGIApp


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 lets the system choose. Raises OSError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(2048)
    sock.set_inheritable(True)
    return sock


def server(app: ASGIApp, *, graceful: float = 5) -> uvicorn.Server:
    """A server that leaves logging to us and gives requests in flight `graceful` seconds at the end."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(graceful) or 1,
    )
    return uvicorn.Server(config)


def log_to_stderr(level: str = "INFO") -> None:
    """One line a record. The access log is already complete and gets no prefix."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    plain = logging.StreamHandler(sys.stderr)
    plain.setFormatter(logging.Formatter("%(message)s"))
    access = logging.getLogger("access")
    access.handlers, access.propagate = [plain], False
    logging.getLogger("uvicorn.error").setLevel("WARNING")
