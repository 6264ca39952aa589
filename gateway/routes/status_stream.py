"""The status as a stream: whole at first, then what has changed. All clients share one look at the manager."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from contract.errors import ServeError
from contract.server_events import server_event

INTERVAL = 1.0
"""Seconds between two looks, if a look takes less than a tenth of that."""
_PULSE = 15.0
"""Seconds after which a comment says that the stream is alive."""


class StatusStream:
    """Asks for the status again and again while at least one client follows it.

    `look` returns the status. If it raises a ServeError, clients get its envelope as the event `error`, and the looks
    go on.
    """

    def __init__(self, look: Callable[[], Awaitable[dict[str, Any]]], interval: float = INTERVAL) -> None:
        self._look = look
        self._interval = interval
        self._followers = 0
        self._looking: asyncio.Task[None] | None = None
        self._latest: dict[str, Any] | ServeError | None = None
        self._changed = asyncio.Event()

    async def events(self) -> AsyncIterator[bytes]:
        """The status as the event `status`, then its changes as events `change`, until the client disconnects."""
        self._followers += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._keep_looking())
        try:
            sent: dict[str, Any] | ServeError | None = None
            yield b": watching\n\n"
            while True:
                latest, changed = self._latest, self._changed
                if latest is not None and latest is not sent:
                    for event in _events(sent, latest):
                        yield event
                    sent = latest
                try:
                    async with asyncio.timeout(_PULSE):
                        await changed.wait()
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._followers -= 1
            if not self._followers:
                self._looking.cancel()
                self._looking, self._latest = None, None

    async def _keep_looking(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self._latest = await self._look()
            except ServeError as error:
                self._latest = error
            self._changed.set()
            self._changed = asyncio.Event()
            # With very many models a look takes long, and it must not keep the manager from its work.
            await asyncio.sleep(max(self._interval, 10 * (time.monotonic() - began)))


def _events(sent: dict[str, Any] | ServeError | None, latest: dict[str, Any] | ServeError) -> list[bytes]:
    if isinstance(latest, ServeError):
        return [_event("error", latest.envelope())]
    if sent is None or isinstance(sent, ServeError) or _ids(sent) != _ids(latest):
        return [_event("status", latest)]
    changes = changes_between(sent, latest)
    return [_event("change", changes)] if changes else []


def changes_between(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The fields that differ, whole; of `models`, only those that differ. Both have the same models in one order."""
    changes = {name: value for name, value in new.items() if name != "models" and old.get(name) != value}
    models = [model for before, model in zip(old["models"], new["models"], strict=True) if before != model]
    return {**changes, "models": models} if models else changes


def _ids(document: dict[str, Any]) -> list[str]:
    return [model["id"] for model in document["models"]]


def _event(name: str, data: Any) -> bytes:
    return server_event(json.dumps(data, ensure_ascii=False).encode(), name)
