"""The gateway's client of the manager: finds its address and token, makes control calls, and opens streams."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from contract.asgi.draining import shutting_down
from contract.asgi.relay import UpstreamError, client_session, open_upstream
from contract.asgi.tunnel import Tunnel, open_tunnel
from contract.config import Settings
from contract.errors import ManagerUnreachable, ServeError, TooManyConnections, Unavailable, from_envelope
from gateway.forwarding.manager_pulse import ManagerPulse, ManagerSilent
from gateway.forwarding.wait_reports import WaitReports, Waits

log = logging.getLogger(__name__)

RawBody = bytes | AsyncIterator[bytes] | None


@dataclass(frozen=True, slots=True)
class ManagerReply:
    """The manager's complete response to a control call."""

    status: int
    content_type: str
    body: bytes
    retry_after: str | None = None

    def json(self) -> Any:
        """The parsed JSON body. Raises the ServeError in it if the status is one of an error."""
        document = json.loads(self.body)
        if self.status >= 400:
            raise from_envelope(document, self.retry_after)
        return document


class ManagerClient:
    """An HTTP client of the manager; open while the gateway runs. `base` is None until the address is known."""

    def __init__(self, settings: Settings, home: Path) -> None:
        self._settings = settings
        self._home = home
        self._client: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}  # by path
        self._pulse = ManagerPulse(settings.gateway.manager_silence)
        self.base: str | None = None
        self.is_stopping = False  # it has ended its stream of events in good order, and not begun another
        self.authorization = ("authorization", "")
        self._id = ("x-enginehouse-gateway", secrets.token_hex(8))
        self.waits = WaitReports(self._waits)
        self.locate()

    def locate(self) -> None:
        """Read address and token again: a restarted manager may have new ones."""
        self.base = self._address()
        self._urls.clear()
        token = self._settings.manager.token or _first_line(self._home / "manager" / "token") or ""
        self.authorization = ("authorization", f"Bearer {token}")

    def _address(self) -> str | None:
        port = self._settings.manager.port
        if port == 0:
            return _first_line(self._home / "manager" / "address")
        host = self._settings.gateway.manager_host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the connection pool open. Requires a running event loop."""
        async with client_session() as self._client:
            watching = asyncio.create_task(self._pulse.watch(self._is_alive))
            try:
                yield
            finally:
                watching.cancel()

    def url(self, path: str, query: bytes = b"") -> URL:
        """The manager's URL for `path`, which must be percent-encoded. Raises ManagerUnreachable."""
        if self.base is None:
            raise self.unreachable("it has not written its address yet")
        if query:
            return URL(f"{self.base}{path}?{query.decode('latin-1')}", encoded=True)
        return self._urls.get(path) or URL(self.base + path, encoded=True)

    def cached_url(self, path: str) -> URL:
        """Like `url`, but keeps the parsed URL; for the few paths that are used all the time."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = self.url(path)
        return url

    def open(
        self, method: str, url: URL, headers: list[tuple[str, str]], body: RawBody = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request and stream the response. Raises UpstreamError when no head arrives."""
        assert self._client is not None, "the client must be opened first"
        return self._pulse.response(
            open_upstream(self._client, method, url, [*headers, self.authorization, self._id], body)
        )

    def open_tunnel(self, url: URL, headers: list[tuple[str, str]]) -> AbstractAsyncContextManager[Tunnel]:
        """Send the handshake of a WebSocket. Raises UpstreamError when no answer arrives."""
        return self._pulse.response(open_tunnel(url, [*headers, self.authorization, self._id]))

    async def call(
        self,
        method: str,
        path: str,
        *,
        timeout: float | None = 10,  # noqa: ASYNC109 - aiohttp enforces it
        headers: Mapping[str, str] = {},
        content: Any = None,
    ) -> ManagerReply:
        """Make a control call that may take `timeout` seconds; None: as long as it takes. `content` is sent as JSON.

        Raises ManagerUnreachable, also once the manager gives no signs of life.
        """
        assert self._client is not None, "the client must be opened first"
        sent = {**headers, self.authorization[0]: self.authorization[1]}
        limit = aiohttp.ClientTimeout(total=timeout)
        try:
            with self._pulse.waiting():
                async with self._client.request(
                    method, self.url(path), headers=sent, timeout=limit, json=content
                ) as response:
                    retry_after = response.headers.get("retry-after")
                    return ManagerReply(response.status, response.content_type, await response.read(), retry_after)
        except (aiohttp.ClientError, OSError, TimeoutError, UpstreamError) as error:
            raise self.unreachable(error) from error

    async def _waits(self, requests: list[str]) -> Waits:
        reply = await self.call("POST", "/waits", timeout=5, content={"requests": requests})
        waits: Waits = reply.json()["waits"]
        return waits

    async def _is_alive(self) -> bool:
        """Whether the manager gives a sign of life. Calls to one that does not run fail by themselves."""
        assert self._client is not None
        limit = aiohttp.ClientTimeout(total=self._pulse.interval)
        try:
            async with self._client.get(self.url("/health"), timeout=limit):
                return True
        except TimeoutError:
            return False
        except (aiohttp.ClientError, OSError, ServeError):
            return True

    async def end_waiting_after(self, stopping: asyncio.Event) -> None:
        """Once this gateway stops, have the manager refuse its requests that wait for a worker."""
        await stopping.wait()
        try:
            (await self.call("POST", f"/gateways/{self._id[1]}/stopping", timeout=2)).json()
        except ServeError as error:  # such as that the manager stops too, and has refused them itself
            log.info("the manager could not end the wait of requests: %s", error)

    def interruption(self) -> ServeError | None:
        """The error for what a manager cuts that is silent, or stops; None for one that does neither."""
        if self._pulse.is_silent:
            return self.unreachable(self._pulse.error())
        return shutting_down() if self.is_stopping else None

    def unreachable(self, cause: object) -> Unavailable:
        """The error for a manager that does not respond; it says how to start one."""
        if _is_out_of_descriptors(cause):
            message = "The gateway has as many connections open as the system allows. Try again in a moment."
            return TooManyConnections(message, retry_after=1)
        where = self.base or "its address"
        if isinstance(cause, ManagerSilent):
            message = f"The manager at {where} is stopped or hangs ({cause}). Read its log, or run `make restart`."
            return ManagerUnreachable(message, retry_after=1)
        if isinstance(cause, UpstreamError | OSError) and str(cause):
            cause = str(cause)
        message = (
            f"The manager does not respond at {where} ({cause or 'timeout'}). Start it with `make start` or "
            "`python -m manager`. If it runs elsewhere, set gateway.manager_host and manager.port."
        )
        return ManagerUnreachable(message, retry_after=1)


def _is_out_of_descriptors(cause: object) -> bool:
    while isinstance(cause, BaseException):
        if isinstance(cause, OSError) and cause.errno in {errno.EMFILE, errno.ENFILE}:
            return True
        cause = cause.__cause__
    return False


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip().partition("\n")[0].strip() or None
    except OSError:
        return None
