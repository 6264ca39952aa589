"""Keeps the catalog of models current: fetched from the manager, then refreshed as its events come in."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel

from contract.asgi.relay import UpstreamError, iter_chunks
from contract.errors import ManagerUnreachable, ServeError
from contract.status import ModelStatus
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_table import ModelTable

log = logging.getLogger(__name__)

SILENCE = 60
"""Seconds without as much as a keep-alive comment after which the event stream is taken for dead."""
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 1.0


class _Listing(BaseModel):
    seq: int
    models: tuple[ModelStatus, ...]


class ModelDirectory:
    """The gateway's knowledge of models. `connected` says that it follows the manager's events now."""

    def __init__(self, manager: ManagerClient) -> None:
        self._manager = manager
        self._fetching = asyncio.Lock()
        self._seq = 0
        self._stale = True
        self._complained = False
        self._catalog: ModelTable | None = None
        self.connected = False

    async def catalog(self) -> ModelTable:
        """What is known for choosing a model; asks the manager only if it never answered. Raises ManagerUnreachable."""
        return self._catalog or await self.refresh()

    async def current(self) -> ModelTable:
        """The same, with states as they are now. Raises ManagerUnreachable."""
        if self.connected and not self._stale and self._catalog:
            return self._catalog
        return await self.refresh()

    async def refresh(self) -> ModelTable:
        """Fetch the models. Raises ManagerUnreachable."""
        async with self._fetching:
            self._stale = False
            if not self.connected:
                self._manager.locate()
            try:
                reply = await self._manager.call("GET", "/models", timeout=5)
                listing = _Listing.model_validate(reply.json())
            except ServeError as error:
                self._stale = True
                raise self._manager.unreachable(error.message) if error.status == 401 else error from None
            self._seq = listing.seq
            self._catalog = ModelTable(listing.models)
            return self._catalog

    async def follow(self) -> None:
        """Stay current for ever: connect, listen, and connect again when the manager went away."""
        delay = _FIRST_DELAY
        while True:
            try:
                await self.refresh()
                async for event in self._events():
                    delay = _FIRST_DELAY
                    await self._heed(event)
            except (ServeError, UpstreamError, TimeoutError, ValueError) as error:
                self._complain_once(error)
            self.connected = False
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    def _complain_once(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            log.warning("no word from the manager: %s", error)

    async def _heed(self, event: dict[str, Any]) -> None:
        if event.get("seq", 0) <= self._seq:
            return
        # A model that became ready may have learned what it can do; any other change of state only matters to lists,
        # which ask again when they are read.
        if event.get("type") == "models" or event.get("to") == "ready":
            await self.refresh()
        elif event.get("type") in {"state", "failure"}:
            self._stale = True

    async def _events(self) -> AsyncIterator[dict[str, Any]]:
        url = self._manager.url("/events", f"since={self._seq}".encode())
        async with self._manager.open("GET", url, [("accept", "text/event-stream")]) as response:
            if response.status != 200:
                raise ManagerUnreachable(f"the manager answered {response.status} when asked for its events")
            self.connected, self._complained = True, False
            log.info("following the manager at %s", self._manager.base)
            pending = b""
            stream = iter_chunks(response)
            while chunk := await _within(SILENCE, stream):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    if line.startswith(b"data:"):
                        yield json.loads(line[5:])
        raise ManagerUnreachable("the manager ended its event stream")


async def _within(seconds: float, stream: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(seconds):
        return await anext(stream, b"")
