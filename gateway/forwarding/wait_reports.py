"""Asks the manager what requests wait for, with one question for all that ask at about the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from contract.errors import ServeError

Waits = dict[str, dict[str, Any]]
"""What requests wait for, by their ids; those that do not wait are missing."""


class WaitReports:
    """What the manager says of waiting requests. `ask` sends it their ids; what it raises counts as no answer."""

    def __init__(self, ask: Callable[[list[str]], Awaitable[Waits]]) -> None:
        self._ask = ask
        self._requests: list[str] = []
        self._next: asyncio.Task[Waits] | None = None

    async def of(self, request_id: str, patience: float) -> dict[str, Any] | None:
        """What the request waits for; None if it does not wait, or the manager does not answer.

        The question may take `patience` more seconds, to be asked together with those of other requests.
        """
        self._requests.append(request_id)
        self._next = answer = self._next or asyncio.create_task(self._ask_after(patience))
        return (await asyncio.shield(answer)).get(request_id)

    async def _ask_after(self, seconds: float) -> Waits:
        await asyncio.sleep(seconds)
        requests, self._requests, self._next = self._requests, [], None
        try:
            return await self._ask(requests)
        except ServeError:
            return {}
