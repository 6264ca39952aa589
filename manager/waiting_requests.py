"""The requests that wait for a worker, by gateway: one that stops ends the wait of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contract.asgi.draining import shutting_down

REMEMBERED = 16
"""Gateways that have stopped and are remembered: they may still forward requests that they were preparing."""


class WaitingRequests:
    """Ends the wait of requests whose gateway stops: they would only wait until it cuts them short."""

    def __init__(self) -> None:
        self._waits: dict[str, set[asyncio.Timeout]] = {}
        self._stopped: deque[str] = deque(maxlen=REMEMBERED)

    @asynccontextmanager
    async def waiting(self, gateway: str) -> AsyncIterator[None]:
        """Enclose the wait of a request. Raises ShuttingDown if its gateway stops meanwhile, or has stopped."""
        if gateway in self._stopped:
            raise shutting_down()
        waits = self._waits.setdefault(gateway, set())
        wait = asyncio.timeout(None)
        try:
            async with wait:
                waits.add(wait)
                yield
        except TimeoutError:
            if wait.expired():
                raise shutting_down() from None
            raise
        finally:
            waits.discard(wait)
            if not waits:
                self._waits.pop(gateway, None)

    def refuse(self, gateway: str) -> int:
        """End the wait of the gateway's requests, also of those still to come. Returns how many waited."""
        self._stopped.append(gateway)
        waits = self._waits.pop(gateway, set())
        for wait in waits:
            wait.reschedule(asyncio.get_running_loop().time())
        return len(waits)
