"""Runs an ASGI app under uvicorn, the same way for gateway, manager and worker."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 lets the system choose. Raises OSError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(2048)
    sock.set_inheritable(True)
    return sock


class CoalescingTransport:
    """A transport that sends an answer's head together with the first piece of its body.

    Sent apart they are two system calls and two packets, and the other side wakes up twice.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._later = asyncio.get_running_loop().call_soon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, piece: bytes) -> None:
        """Send now, but for a head: what follows it at once goes along."""
        if self._head:
            piece, self._head = self._head + piece, b""
        elif piece[:9] == b"HTTP/1.1 ":
            self._head = piece
            self._later(self.flush)
            return
        self._transport.write(piece)

    def flush(self) -> None:
        """Send a head that nothing has followed."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        self.flush()
        self._transport.close()


class CoalescingProtocol(HttpToolsProtocol):
    """uvicorn's protocol over a gathering transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(CoalescingTransport(transport))  # type: ignore[arg-type]


class AppServer(uvicorn.Server):
    """Says when it is told to end, so that streams without an end of their own are not waited for."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_exit()
        super().handle_exit(sig, frame)


def server(app: ASGIApp, *, graceful: float = 5, on_exit: Callable[[], object] = lambda: None) -> AppServer:
    """A server that leaves logging to us and gives requests in flight `graceful` seconds at the end.

    `on_exit` is called from a signal handler when the end begins.
    """
    config = uvicorn.Config(
        app,
        http=CoalescingProtocol,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(graceful) or 1,
    )
    return AppServer(config, on_exit)


def log_to_stderr(level: str = "INFO") -> None:
    """One line a record. The access log is already complete and gets no prefix."""
    # No format of ours shows them, and each record would look them up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    plain = logging.StreamHandler(sys.stderr)
    plain.setFormatter(logging.Formatter("%(message)s"))
    access = logging.getLogger("access")
    access.handlers, access.propagate = [plain], False
    logging.getLogger("uvicorn.error").setLevel("WARNING")
