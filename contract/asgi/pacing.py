"""Lets requests begin a few at a time, so that an event loop stays quick while a thousand of them arrive at once."""

from __future__ import annotations

import asyncio
from collections import deque

AT_ONCE = 4
"""Requests that begin in one turn of the event loop. Each takes some milliseconds of it over its first turns."""


class Pacing:
    """Requests begin in the order of their arrival, at most `AT_ONCE` in one turn of the event loop.

    A turn without other work takes microseconds, so this delays no request while the loop has time.
    """

    def __init__(self) -> None:
        self._begun: int | None = None  # in this turn; None: the last turn began none
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def begin(self) -> None:
        """Wait for the turn in which the request may begin."""
        if self._begun is None:
            self._begun = 0
            asyncio.get_running_loop().call_soon(self._next_turn)
        if self._begun < AT_ONCE and not self._waiting:
            self._begun += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _next_turn(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < AT_ONCE:
            turn = self._waiting.popleft()
            if not turn.done():  # a request that was given up takes no place
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next_turn)
        else:
            self._begun = None
