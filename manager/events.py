"""Everything that happens, numbered, for those who watch: the gateway, the event stream, the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from contract.status import Event

log = logging.getLogger(__name__)

KEPT = 1000
"""Events that a watcher who reconnects can still catch up on."""


class EventLog:
    """An append-only log in memory. Appending never waits for a watcher."""

    def __init__(self) -> None:
        self.seq = 0
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._more = asyncio.Event()
        self._closed = False

    def add(self, type_: str, **fields: Any) -> Event:
        """Number an event and wake those who watch."""
        self.seq += 1
        event = Event(seq=self.seq, time=time.time(), type=type_, **fields)
        self._kept.append(event)
        self._wake()
        log.info("%s", _line(event))
        return event

    async def since(self, seq: int, *, pulse: float = 15.0) -> AsyncIterator[Event | None]:
        """Events after `seq`, and then each new one. None every `pulse` seconds when nothing happens."""
        while not self._closed:
            more = self._more
            for event in [event for event in self._kept if event.seq > seq]:
                seq = event.seq
                yield event
            if more is not self._more:
                continue
            try:
                await asyncio.wait_for(more.wait(), pulse)
            except TimeoutError:
                yield None

    def close(self) -> None:
        """End every stream of events: nobody is to wait for those who watch."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        """Wake those who wait now; who waits from now on waits for the next time."""
        self._more.set()
        self._more = asyncio.Event()

    async def next(self, *, pulse: float) -> None:
        """Return after the next event, or after `pulse` seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._more.wait(), pulse)


def _line(event: Event) -> str:
    parts = [event.type, event.worker or event.model or ""]
    if event.to:
        parts.append(f"{event.from_} → {event.to}")
    if event.bytes is not None:
        parts.append(f"{event.bytes / 2**20:.0f} MiB" + (f" of {event.total / 2**20:.0f}" if event.total else ""))
    return " ".join(part for part in [*parts, f"({event.reason})" if event.reason else ""] if part)
