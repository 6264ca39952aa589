"""One SQLite database, used from one thread: work that waits at the same time shares a transaction.

A commit waits until the disk has the data, which takes milliseconds. With one transaction for all work that has
gathered meanwhile, hundreds of jobs are stored in a second, and none is reported as stored that is not.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class StatementResult(Protocol):
    """The rows that a statement returns or changes."""

    rowcount: int

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class SqlConnection(Protocol):
    """What is used of a connection: statements with `?` for their parameters."""

    def execute(self, sql: str, parameters: Iterable[Any] = (), /) -> StatementResult: ...


Transaction = Callable[[SqlConnection], T]
_Pending = tuple[Transaction[Any], "asyncio.Future[Any]"]


class Database:
    """A database in a file, which `open` creates. Its `run` is called from the event loop only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._pending: deque[_Pending] = deque()
        self._working = False
        self._lock = threading.Lock()  # for the two above
        self._connection: Any = None

    async def open(self, schema: Iterable[str]) -> None:
        """Open the file, and run the schema's statements. Raises OSError or sqlite3.Error."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open, list(schema))

    def _open(self, schema: list[str]) -> None:
        import sqlite3

        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._path.chmod(0o600)  # requests may be private
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")  # a commit returns once the disk has it
        for statement in schema:
            self._connection.execute(statement)
        sync_folder(self._path.parent)

    async def run(self, work: Transaction[T]) -> T:
        """The result of `work`, once what it changed is on the disk. What it raises undoes its own changes only."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._pending.append((work, future))
            if not self._working:
                self._working = True
                self._thread.submit(self._work, asyncio.get_running_loop())
        return await future

    async def close(self) -> None:
        """Close the file after the work that is pending. May be called again."""
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
            self._connection = None
        self._thread.shutdown(wait=False)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._lock:
                batch = list(self._pending)
                self._pending.clear()
                self._working = bool(batch)
            if not batch:
                return
            results = self._transaction([work for work, _ in batch])
            loop.call_soon_threadsafe(_deliver, [future for _, future in batch], results)

    def _transaction(self, batch: list[Transaction[Any]]) -> list[Any]:
        """The results of all work, or the exceptions that they raised."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [self._attempt(work) for work in batch]
            self._connection.execute("COMMIT")
        except Exception as error:  # such as a full disk: nothing of it is stored
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return [error] * len(batch)
        return results

    def _attempt(self, work: Transaction[Any]) -> Any:
        self._connection.execute("SAVEPOINT work")
        try:
            result = work(self._connection)
        except Exception as error:
            self._connection.execute("ROLLBACK TO work")
            result = error
        self._connection.execute("RELEASE work")
        return result


def _deliver(futures: list[asyncio.Future[Any]], results: list[Any]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.cancelled():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder's entries, so that a new file's name survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
