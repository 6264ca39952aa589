"""Everything that happens in the manager, numbered, for the gateway, the event stream and the log."""

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

HISTORY = 1000
"""Past events kept for clients that reconnect."""


class EventLog:
    """An append-only log in memory. Appending never waits for a reader."""

    def __init__(self) -> None:
        self.seq = 0
        self._history: deque[Event] = deque(maxlen=HISTORY)
        self._appended = asyncio.Event()
        self._closed = False

    def add(self, type_: str, **fields: Any) -> Event:
        """Number an event, log it, and wake the readers."""
        self.seq += 1
        event = Event(seq=self.seq, time=time.time(), type=type_, **fields)
        self._history.append(event)
        self._wake_readers()
        log.info("%s", _line(event))
        return event

    async def since(self, seq: int, *, pulse: float = 15.0) -> AsyncIterator[Event | None]:
        """Yield the events after `seq`, then each new one, and None every `pulse` seconds in which nothing happens."""
        while not self._closed:
            appended = self._appended
            for event in [event for event in self._history if event.seq > seq]:
                seq = event.seq
                yield event
            if appended is not self._appended:
                continue  # more events came while the reader was busy with these
            try:
                async with asyncio.timeout(pulse):
                    await appended.wait()
            except TimeoutError:
                yield None

    async def next(self, *, pulse: float) -> None:
        """Return after the next event, or after `pulse` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pulse):
                await self._appended.wait()

    @property
    def closed(self) -> bool:
        """Whether the manager is stopping, and every stream ends."""
        return self._closed

    def close(self) -> None:
        """End every stream of events, so that open streams do not delay the shutdown."""
        self._closed = True
        self._wake_readers()

    def _wake_readers(self) -> None:
        """Wake the current readers; later ones wait on a new event."""
        self._appended.set()
        self._appended = asyncio.Event()


def _line(event: Event) -> str:
    parts = [event.type, event.worker or event.model or ""]
    if event.to:
        parts.append(f"{event.from_} → {event.to}")
    if event.bytes is not None:
        parts.append(f"{event.bytes / 2**20:.0f} MiB" + (f" of {event.total / 2**20:.0f}" if event.total else ""))
    return " ".join(part for part in [*parts, f"({event.reason})" if event.reason else ""] if part)
