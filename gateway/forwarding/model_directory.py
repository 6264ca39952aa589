"""Keeps the table of configured models up to date by following the manager's events."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from contract.asgi.event_streams import EVENTS
from contract.asgi.relay import UpstreamError, iter_chunks
from contract.errors import ManagerUnreachable, ServeError
from contract.lazy_model import LazyModel
from contract.status import ModelStatus
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_table import ModelTable

log = logging.getLogger(__name__)

EVENT_TIMEOUT = 60
"""Seconds without an event or a keep-alive comment after which the event stream counts as dead."""
_FIRST_DELAY, _MAX_DELAY = 0.05, 1.0


class _ModelList(LazyModel):
    seq: int
    models: tuple[ModelStatus, ...]


class ModelDirectory:
    """The configured models as the manager reports them. `connected`: whether the event stream is open."""

    def __init__(self, manager: ManagerClient) -> None:
        self._manager = manager
        self._fetching = asyncio.Lock()
        self._seq = 0
        self._stale = True
        self._warned = False
        self._table: ModelTable | None = None
        self.connected = False

    async def table(self) -> ModelTable:
        """The last known table, whose states may be outdated; enough to choose a model.

        Calls the manager only if it has never responded. Raises ManagerUnreachable.
        """
        return self._table or await self.refresh()

    async def current(self) -> ModelTable:
        """The table with the models' current states. Raises ManagerUnreachable."""
        if self.connected and self._table:
            async with self._fetching:  # a refresh in progress may have what the client knows already
                if not self._stale:
                    return self._table
        return await self.refresh()

    async def refresh(self) -> ModelTable:
        """Fetch the table from the manager. Raises ManagerUnreachable."""
        async with self._fetching:
            self._stale = False
            if not self.connected:
                self._manager.locate()
            try:
                listing = await self._listing("/models")
            except ServeError as error:
                self._stale = True
                raise self._manager.unreachable(error.message) if error.status == 401 else error from None
            self._seq = listing.seq
            self._table = ModelTable(listing.models)
            return self._table

    async def _refresh_one(self, id_: str) -> None:
        """Fetch one model, because the states of a thousand take a while to put together."""
        async with self._fetching:
            listing = await self._listing(f"/models?model={quote(id_, safe='')}")
            if self._table and listing.models:
                self._table = self._table.with_one(listing.models[0])

    async def _listing(self, path: str) -> _ModelList:
        reply = await self._manager.call("GET", path, timeout=5)
        return _ModelList.model_validate(reply.json())

    async def follow(self) -> None:
        """Follow the manager's events forever; reconnect when the connection breaks."""
        delay = _FIRST_DELAY
        while True:
            try:
                await self.refresh()
                async for event in self._events():
                    delay = _FIRST_DELAY
                    await self._handle(event)
            except (ServeError, UpstreamError, TimeoutError, ValueError) as error:
                self._warn_once(error)
            self.connected = False
            await asyncio.sleep(delay)
            delay = min(delay * 2, _MAX_DELAY)

    def _warn_once(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            log.warning("cannot follow the manager's events: %s", error)

    async def _handle(self, event: dict[str, Any]) -> None:
        if event.get("seq", 0) <= self._seq:
            return
        # A model that became ready may have new features, which choosing a model depends on. Other state changes only
        # affect listings, which refresh a stale table when they are requested.
        if event.get("type") == "models":
            await self.refresh()
        elif event.get("to") == "ready":
            await self._refresh_one(event["model"])
        elif event.get("type") in {"state", "failure"}:
            self._stale = True

    async def _events(self) -> AsyncIterator[dict[str, Any]]:
        url = self._manager.url("/events", f"since={self._seq}".encode())
        async with self._manager.open("GET", url, [("accept", EVENTS)]) as response:
            if response.status != 200:
                raise ManagerUnreachable(f"the manager responded to GET /events with status {response.status}")
            self.connected, self._warned = True, False
            self._manager.is_stopping = False
            log.info("following the events of the manager at %s", self._manager.base)
            partial_line = b""
            stream = iter_chunks(response)
            while chunk := await _next_within(EVENT_TIMEOUT, stream):
                *lines, partial_line = (partial_line + chunk).split(b"\n")
                for line in lines:
                    if line.startswith(b"data:"):
                        yield json.loads(line[5:])
        self._manager.is_stopping = True
        raise ManagerUnreachable("the manager ended its event stream")


async def _next_within(seconds: float, stream: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(seconds):
        return await anext(stream, b"")
