"""Runs an ASGI app under uvicorn, with the same settings for gateway, manager and workers."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from contract.asgi.backlog import AcceptingFactory
from contract.asgi.connections import BoundedProtocol, ConnectionLimits
from contract.asgi.draining import CUT_TIMEOUT, RequestsInProgress
from contract.asgi.old_clients import PatientProtocol
from contract.asgi.upgrades import UpgradeProtocol
from contract.startup_errors import CannotListen

KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds until the first probe (its name on macOS too) and between probes, and how many may be lost."""

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 picks a free one. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _keep_alive(sock)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise CannotListen(host, port, error) from error
    return sock


def _keep_alive(sock: socket.socket) -> None:
    """Probe connections that are silent, so that routers keep them open, and clients that have vanished are noticed.

    The connections that the socket accepts inherit this.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class ServerProtocol(UpgradeProtocol, BoundedProtocol, PatientProtocol):
    """uvicorn's HTTP protocol, within limits, for all clients, and for WebSockets."""


class AppServer(uvicorn.Server):
    """A server that lets requests in progress finish for `graceful` seconds when it is stopped, and exits with 0.

    It goes on to listen meanwhile, to refuse new requests.
    """

    def __init__(
        self, config: uvicorn.Config, protocols: AcceptingFactory, requests: RequestsInProgress, graceful: float
    ) -> None:
        super().__init__(config)
        self._protocols, self._requests, self._graceful = protocols, requests, graceful

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._protocols.sockets = sockets or ()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._requests.on_exit()
        super().handle_exit(sig, frame)

    async def main_loop(self) -> None:
        await super().main_loop()
        await self._requests.drain(self._graceful, hurry=lambda: self.force_exit)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals. One that was handled is not raised again, so that it does not become the exit code."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def server(
    app: ASGIApp,
    *,
    requests: RequestsInProgress | None = None,
    graceful: float = 5,
    trusted_proxies: Sequence[str] = (),
    limits: ConnectionLimits | None = None,
) -> AppServer:
    """A server for `app` that leaves logging to us and, on shutdown, waits `graceful` seconds for running requests.

    `requests` are those that the app's DrainMiddleware counts. `X-Forwarded-For` and `X-Forwarded-Proto` are believed
    from the addresses and networks in `trusted_proxies` only.
    """
    protocols = AcceptingFactory(partial(ServerProtocol, limits=limits or ConnectionLimits()))
    config = uvicorn.Config(
        app,
        http=protocols,  # type: ignore[arg-type]
        ws="none",  # `UpgradeProtocol` hands them to the app
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        date_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        timeout_keep_alive=75,
        # Requests that are counted have ended by then; their last bytes may still be on the way to their clients.
        timeout_graceful_shutdown=int(CUT_TIMEOUT if requests else graceful) or 1,
    )
    return AppServer(config, protocols, requests or RequestsInProgress(), graceful)


def log_to_stderr(level: str | None = None) -> None:
    """Log one line per record to stderr, from a level on: by default that of the variable LOG_LEVEL, or else INFO.

    Access log lines are complete and get no prefix.
    """
    level = (level or os.environ.get("LOG_LEVEL") or "INFO").upper()
    is_known = level in LOG_LEVELS
    # Our formats do not use these fields, and logging would look them up for every record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level if is_known else "INFO", handlers=[handler], force=True)
    if not is_known:
        logging.getLogger(__name__).warning("LOG_LEVEL: %r is none of %s", level, ", ".join(LOG_LEVELS))
    plain = logging.StreamHandler(sys.stderr)
    plain.setFormatter(logging.Formatter("%(message)s"))
    access = logging.getLogger("access")
    access.handlers, access.propagate = [plain], False
    logging.getLogger("uvicorn.error").setLevel("WARNING")
