"""Files that clients upload, and those that batches write: a row for each, and its content in the folder."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from contract.errors import BadRequest, NotFound, TooLarge
from gateway.jobs.store import JobStore
from gateway.storage.database import SqlConnection


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an owner. Times are seconds since the epoch."""

    owner: str
    filename: str
    purpose: str
    bytes: int
    created: float
    expires: float | None = None
    id: str = field(default_factory=lambda: f"file-{uuid.uuid4().hex}")


@dataclass(frozen=True, slots=True)
class Page:
    """Which of an owner's things are listed, of all owners without one; `after` is the last one of the page before."""

    owner: str | None
    limit: int
    after: str | None = None
    ascending: bool = False
    purpose: str | None = None


_NAMES = tuple(field.name for field in dataclasses.fields(StoredFile))
_COLUMNS = ", ".join(_NAMES)


class FileStore:
    """The files in a store of jobs. `limit` is the size of all files together, in bytes."""

    def __init__(self, store: JobStore, limit: float) -> None:
        self._store = store
        self._limit = limit

    async def add(self, content: BinaryIO, owner: str, filename: str, purpose: str, keep: float | None) -> StoredFile:
        """Store a file, and return once it is on the disk. Raises TooLarge, OSError or sqlite3.Error."""
        size = content.seek(0, os.SEEK_END)
        content.seek(0)
        file = StoredFile(owner, filename, purpose, size, 0.0)
        await self._store.run(lambda connection, _: self._check_room(connection, size))
        await asyncio.to_thread(self._copy, content, file.id)

        def work(connection: SqlConnection, now: float) -> StoredFile:
            self._check_room(connection, size)
            stored = dataclasses.replace(file, created=now, expires=None if keep is None else now + keep)
            insert(connection, stored)
            return stored

        try:
            return await self._store.run(work)
        except Exception:
            self._store.payloads.remove([file.id])
            raise

    def _copy(self, content: BinaryIO, name: str) -> None:
        with self._store.payloads.writing(name) as target:
            shutil.copyfileobj(content, target, 2**20)

    def _check_room(self, connection: SqlConnection, size: int) -> None:
        used = int(connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM files").fetchone()[0])
        if used + size > self._limit:
            message = f"All files together may take {self._limit / 2**30:g} GiB, and {used / 2**30:.2f} are in use."
            raise TooLarge(f"{message} Delete some of them, or raise jobs.max_files_gb.")

    async def get(self, owner: str | None, id_: str) -> StoredFile:
        """The owner's file; None: that of any owner. Raises NotFound."""
        return await self._store.run(lambda connection, _: get(connection, owner, id_))

    async def page(self, wanted: Page) -> list[StoredFile]:
        """Files, newest first unless `ascending`. Raises NotFound if `after` is no file of the owner's."""
        return await self._store.run(lambda connection, _: _page(connection, wanted))

    def open(self, file: StoredFile) -> BinaryIO:
        """A file's content. Raises NotFound if it has been deleted meanwhile."""
        try:
            return self._store.payloads.open(file.id)
        except FileNotFoundError:
            raise no_such_file(file.id) from None

    async def remove(self, owner: str | None, id_: str) -> None:
        """Delete a file. Raises NotFound, and BadRequest while a batch reads it."""

        def work(connection: SqlConnection, _: float) -> None:
            get(connection, owner, id_)
            query = "SELECT id FROM batches WHERE input_file = ? AND ended IS NULL"
            if batch := connection.execute(query, (id_,)).fetchone():
                raise BadRequest(f"The batch {batch[0]} reads the file {id_}. Cancel it first, or wait for its end.")
            connection.execute("DELETE FROM files WHERE id = ?", (id_,))

        await self._store.run(work)
        self._store.payloads.remove([id_])

    async def expire(self) -> None:
        """Remove the files whose time is over, but for those that a batch reads."""
        unused = "id NOT IN (SELECT input_file FROM batches WHERE ended IS NULL)"
        query = f"DELETE FROM files WHERE expires <= ? AND {unused} RETURNING id"
        rows = await self._store.run(lambda connection, now: connection.execute(query, (now,)).fetchall())
        self._store.payloads.remove(row[0] for row in rows)


def no_such_file(id_: str) -> NotFound:
    """The error for a file that does not exist, or belongs to another key."""
    return NotFound(f"There is no file {id_[:100]!r}. GET /v1/files lists yours.")


def get(connection: SqlConnection, owner: str | None, id_: str) -> StoredFile:
    """The owner's file; None: that of any owner. Raises NotFound."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM files WHERE id = ?", (id_,)).fetchone()
    file = StoredFile(*row) if row else None
    if file is None or owner not in {None, file.owner}:
        raise no_such_file(id_)
    return file


def insert(connection: SqlConnection, file: StoredFile) -> None:
    """Insert the row of a file whose content is on the disk."""
    marks = ", ".join("?" * len(_NAMES))
    connection.execute(f"INSERT INTO files ({_COLUMNS}) VALUES ({marks})", dataclasses.astuple(file))


def _page(connection: SqlConnection, wanted: Page) -> list[StoredFile]:
    conditions, values = ["seq > 0"], list[Any]()
    for name, value in (("owner", wanted.owner), ("purpose", wanted.purpose)):
        if value is not None:
            conditions.append(f"{name} = ?")
            values.append(value)
    if wanted.after:
        get(connection, wanted.owner, wanted.after)
        conditions.append(f"seq {'>' if wanted.ascending else '<'} (SELECT seq FROM files WHERE id = ?)")
        values.append(wanted.after)
    order = "ASC" if wanted.ascending else "DESC"
    query = f"SELECT {_COLUMNS} FROM files WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT {wanted.limit}"
    return [StoredFile(*row) for row in connection.execute(query, values).fetchall()]


def lines(file: BinaryIO, longest: int) -> Iterator[bytes]:
    """The lines of a file from where it is, ends included. A line above `longest` bytes comes cut, as the last one."""
    while line := file.readline(longest + 1):
        yield line
        if len(line) > longest:
            return
