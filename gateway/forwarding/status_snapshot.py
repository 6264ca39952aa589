"""The manager's status for pages that are asked for often, and that must not wait for the manager."""

from __future__ import annotations

import asyncio
import time

from pydantic import ValidationError

from contract.errors import ServeError
from contract.status import Status
from gateway.forwarding.manager_client import ManagerClient

MAX_AGE = 1.0
"""Seconds for which a status is shown again."""
PATIENCE = 0.5
"""Seconds that a page waits for the manager."""


class StatusSnapshot:
    """Asks the manager at most once a second, however many requests there are."""

    def __init__(self, manager: ManagerClient) -> None:
        self._manager = manager
        self._asking = asyncio.Lock()
        self._status: Status | None = None
        self._asked = float("-inf")

    async def get(self) -> Status | None:
        """The manager's status; None if the manager does not answer soon."""
        async with self._asking:
            if time.monotonic() - self._asked >= MAX_AGE:
                self._status = await self._ask()
                self._asked = time.monotonic()
            return self._status

    async def _ask(self) -> Status | None:
        try:
            reply = await self._manager.call("GET", "/status", timeout=PATIENCE)
            return Status.model_validate(reply.json())
        except (ServeError, ValidationError, ValueError):
            return None
