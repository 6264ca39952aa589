"""Stores responses and the items of their input in the state folder, for a time and up to a size."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.config.responses import StoredResponseSettings
from contract.errors import NotFound, Unavailable
from gateway.storage.database import Database, SqlConnection, T
from gateway.storage.sqlite import SqliteBackend
from gateway.storage.storing import storing

log = logging.getLogger(__name__)

StoredItem = dict[str, Any]
_LONGEST_CHAIN = 10_000
_PRUNE_INTERVAL = 30.0
_TABLE = (
    "CREATE TABLE IF NOT EXISTS responses (id TEXT PRIMARY KEY, owner TEXT NOT NULL, created REAL NOT NULL, "
    "used REAL NOT NULL, previous TEXT, items BLOB NOT NULL, response BLOB NOT NULL, job TEXT, bytes INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS responses_by_use ON responses (used)",
)


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response with the items of its own input. `previous` is the id of the response that it continues.

    `job` is the id of the job that makes it, for one that runs in the background.
    """

    id: str
    owner: str
    items: list[StoredItem]
    response: dict[str, Any]
    previous: str | None = None
    job: str | None = None


class ResponseStore:
    """The responses of one gateway. The file is opened for the first response, and created by it."""

    def __init__(self, folder: Path, settings: StoredResponseSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._database = Database(SqliteBackend(folder / "responses.db", (_TABLE,)))
        self._opening = asyncio.Lock()
        self._pruned_at = float("-inf")

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Close the file at the end, if it was opened."""
        try:
            yield
        finally:
            await self._database.close()

    async def add(self, stored: StoredResponse) -> None:
        """Store a response, or replace the one with its id. Raises Unavailable."""
        items, response = json.dumps(stored.items).encode(), json.dumps(stored.response).encode()
        now = self._clock()
        row = (stored.id, stored.owner, now, now, stored.previous, items, response, stored.job)

        def insert(connection: SqlConnection) -> None:
            statement = "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            connection.execute(statement, (*row, len(items) + len(response)))
            if now >= self._pruned_at + _PRUNE_INTERVAL:
                self._pruned_at = now
                self._prune(connection, now)

        await self._run(insert)

    async def get(self, owner: str | None, id_: str) -> StoredResponse:
        """The owner's response; None: that of any owner. Raises NotFound, also for the response of another owner."""
        return await self._run(lambda connection: self._find(connection, owner, id_))

    async def conversation(self, owner: str | None, id_: str) -> list[StoredItem]:
        """All items up to the end of a response. Raises NotFound if one of the responses is gone, or Unavailable."""

        def walk(connection: SqlConnection) -> list[StoredResponse]:
            chain: list[StoredResponse] = []
            previous: str | None = id_
            while previous is not None and len(chain) < _LONGEST_CHAIN:
                chain.append(self._find(connection, owner, previous))
                previous = chain[-1].previous
            return chain[::-1]

        chain = await self._run(walk)
        await self._note_use([stored.id for stored in chain])
        return [item for stored in chain for item in (*stored.items, *stored.response["output"])]

    async def item(self, owner: str | None, id_: str) -> StoredItem:
        """An item of an answer. Raises NotFound."""
        unique = [*id_.split("_"), ""][1]  # as the dialect names items
        try:
            stored = await self.get(owner, f"resp_{unique}")
        except NotFound:
            raise no_such_item(id_) from None
        await self._note_use([stored.id])
        found = next((item for item in stored.response["output"] if item.get("id") == id_), None)
        if found is None:
            raise no_such_item(id_)
        return dict(found)

    async def _note_use(self, ids: list[str]) -> None:
        now = self._clock()

        def work(connection: SqlConnection) -> None:
            for id_ in ids:
                connection.execute("UPDATE responses SET used = ? WHERE id = ?", (now, id_))

        with suppress(Unavailable):  # such as a full disk, on which conversations can still be read
            await self._run(work)

    async def remove(self, owner: str | None, id_: str) -> StoredResponse:
        """Remove a response and return it. Raises NotFound."""

        def delete(connection: SqlConnection) -> StoredResponse:
            stored = self._find(connection, owner, id_)
            connection.execute("DELETE FROM responses WHERE id = ?", (id_,))
            return stored

        return await self._run(delete)

    async def _run(self, work: Callable[[SqlConnection], T]) -> T:
        with storing("Responses"):
            async with self._opening:
                if not self._database.is_open:
                    await self._database.open()
            return await self._database.run(work, durable=False)

    def _find(self, connection: SqlConnection, owner: str | None, id_: str) -> StoredResponse:
        query = "SELECT id, owner, items, response, previous, job FROM responses WHERE id = ?"
        row = connection.execute(query, (id_,)).fetchone()
        if row is None or owner not in {None, row[1]}:
            raise no_such_response(id_)
        return StoredResponse(row[0], row[1], json.loads(row[2]), json.loads(row[3]), row[4], row[5])

    def _prune(self, connection: SqlConnection, now: float) -> None:
        """Remove responses that were not used for the configured time, and of the rest the oldest above the size."""
        removed = connection.execute("DELETE FROM responses WHERE used < ?", (now - self._settings.keep,)).rowcount
        newest_that_fit = (
            "DELETE FROM responses WHERE id IN (SELECT id FROM (SELECT id, SUM(bytes) OVER "
            "(ORDER BY used DESC, id) AS total FROM responses) WHERE total > ?)"
        )
        removed += connection.execute(newest_that_fit, (int(self._settings.max_gb * 2**30),)).rowcount
        if removed:
            log.info("removed %d stored responses", removed)


def no_such_item(id_: str) -> NotFound:
    """The error for an item that no stored answer has."""
    error = NotFound(f"There is no item {id_[:100]!r} in a stored response. Send the item itself.")
    error.param = "input"
    return error


def no_such_response(id_: str) -> NotFound:
    """The error for a response that does not exist, or belongs to another key."""
    hint = "Those with `store` are kept for `responses.keep` after their last use."
    return NotFound(f"There is no response {id_[:100]!r}. {hint}")
