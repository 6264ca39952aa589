"""The one client of the manager: knows where it is and what its token is, asks it things, and opens streams to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from contract.asgi.relay import UpstreamError, client_session, open_upstream
from contract.config import Settings
from contract.errors import ManagerUnreachable, from_envelope

RawBody = bytes | AsyncIterator[bytes] | None


@dataclass(frozen=True, slots=True)
class ManagerReply:
    """The manager's whole answer to a control call."""

    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        """The answer's JSON. Raises the error that the manager put into its envelope."""
        document = json.loads(self.body)
        if self.status >= 400:
            raise from_envelope(document)
        return document


class ManagerClient:
    """Speaks to the manager under its token; opened for as long as the gateway runs."""

    def __init__(self, settings: Settings, home: Path) -> None:
        self._settings = settings
        self._home = home
        self._client: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}
        self.base: str | None = None
        self.authorization = ("authorization", "")
        self.locate()

    def locate(self) -> None:
        """Find address and token again: a manager that was started anew may have others."""
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
        """Hold the connections open; the loop must run."""
        async with client_session() as self._client:
            yield

    def url(self, path: str, query: bytes = b"") -> URL:
        """Where `path` (as it came over the wire, still percent-encoded) is at the manager."""
        if self.base is None:
            raise self.unreachable("it has not written its address yet")
        if query:
            return URL(f"{self.base}{path}?{query.decode('latin-1')}", encoded=True)
        return self._urls.get(path) or URL(self.base + path, encoded=True)

    def remember(self, path: str) -> URL:
        """Like `url`, for a path that is asked for all the time: the parsed address is kept."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = self.url(path)
        return url

    def open(
        self, method: str, url: URL, headers: list[tuple[str, str]], body: RawBody = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """A request whose answer is streamed. Raises UpstreamError when no head comes back."""
        assert self._client is not None, "the manager's client is open while the app runs"
        return open_upstream(self._client, method, url, [*headers, self.authorization], body)

    async def call(
        self,
        method: str,
        path: str,
        *,
        timeout: float = 10,  # noqa: ASYNC109 - the whole exchange, aiohttp's own
        headers: Mapping[str, str] = {},
    ) -> ManagerReply:
        """A control call with its whole answer, within `timeout` seconds. Raises ManagerUnreachable."""
        assert self._client is not None, "the manager's client is open while the app runs"
        sent = {**headers, self.authorization[0]: self.authorization[1]}
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=2)
        try:
            async with self._client.request(method, self.url(path), headers=sent, timeout=limit) as response:
                return ManagerReply(response.status, response.content_type, await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.unreachable(error) from error

    def unreachable(self, cause: object) -> ManagerUnreachable:
        """The error that says how to get a manager."""
        where = self.base or "its address"
        if isinstance(cause, UpstreamError | OSError) and str(cause):
            cause = str(cause)
        message = (
            f"The manager does not answer at {where} ({cause or 'no answer in time'}). Start it with `make start` or "
            "`python -m manager`; if it runs elsewhere, set gateway.manager_host and manager.port."
        )
        return ManagerUnreachable(message, retry_after=1)


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
