"""Adds a model of the catalogue to config.yaml when a request of a dialect needs it, if `gateway.auto_add` is on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from contract.errors import ModelNotFound, ServeError
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.forwarding.model_table import ModelTable

_PATIENCE = 120.0
"""Seconds that the manager may take: it tries the entry's engine."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class AutoAdd:
    """The choice of models, with those that are added for it."""

    def __init__(self, manager: ManagerClient, directory: ModelDirectory, *, enabled: bool) -> None:
        self._manager = manager
        self._directory = directory
        self._enabled = enabled
        self._one_at_a_time = asyncio.Lock()

    async def choose(self, choose: Callable[[ModelTable], T]) -> T:
        """What `choose` makes of the configured models; again after each model that it misses was added.

        Raises ModelNotFound for a model that is not in the catalogue or cannot be added, and the errors of `choose`.
        """
        table = await self._directory.table()
        added: set[str] = set()
        while True:
            try:
                return choose(table)
            except ModelNotFound as error:
                known = error.details.get("in_catalogue")
                if not self._enabled or not known or known in added:
                    raise
                added.add(known)
                table = await self._add(known, error)

    async def _add(self, known: str, error: ModelNotFound) -> ModelTable:
        async with self._one_at_a_time:
            table = await self._directory.refresh()
            if table.find(known):
                return table
            try:
                reply = await self._manager.call("POST", "/entries", content={"model": known}, timeout=_PATIENCE)
                reply.json()
            except ServeError as refusal:
                error.message = f"{error.message} It could not be added automatically: {refusal.message}"
                raise error from None
            log.warning("a request needed the model %s: its entry was added to config.yaml (gateway.auto_add)", known)
            return await self._directory.refresh()
