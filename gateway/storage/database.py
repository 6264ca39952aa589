"""One database, used from one thread: work that waits at the same time shares a transaction.

A commit waits until the disk has the data, which takes milliseconds. With one transaction for all work that has
gathered meanwhile, hundreds of jobs are stored in a second, and none is reported as stored that is not.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class StatementResult(Protocol):
    """The rows that a statement returns or changes."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class SqlConnection(Protocol):
    """What is used of a connection: statements with `?` for their parameters.

    `shared`: other gateways may use the database. `locked` ends a SELECT of rows that are changed next, so that others
    skip them. `time` is an expression for the seconds since the epoch, by the database's clock.
    """

    @property
    def shared(self) -> bool: ...
    @property
    def locked(self) -> str: ...
    @property
    def time(self) -> str: ...
    def execute(self, sql: str, parameters: Iterable[Any] = (), /) -> StatementResult: ...


class DatabaseFailed(Exception):
    """The database could not do something. `again`: nothing of the transaction is stored, and it may work now."""

    def __init__(self, problem: str, hint: str, *, again: bool = False) -> None:
        super().__init__(problem)
        self.hint = hint
        self.again = again


class NewerDatabase(Exception):
    """The database was written by a version of Enginehouse that knows more steps than this one."""

    def __init__(self, name: str, version: int, known: int) -> None:
        super().__init__(
            f"A newer version of Enginehouse has written {name} (version {version} of its tables; this one knows "
            f"{known}). Install that version again, or move the database away."
        )


class Backend(SqlConnection, Protocol):
    """A database system. Everything is called in one thread; before `open`, nothing but that is."""

    def open(self) -> None:
        """Connect, and bring the tables to this version. Raises OSError, NewerDatabase or DatabaseFailed."""

    def begin(self, *, durable: bool) -> None:
        """Begin a transaction. Unless it is `durable`, a power cut may undo it, but not the end of this process."""

    def rollback(self) -> None:
        """Undo the transaction that is open, if there is one. Raises nothing."""

    def close(self) -> None:
        """Disconnect. Raises nothing."""


Transaction = Callable[[SqlConnection], T]
_Pending = tuple[Transaction[Any], "asyncio.Future[Any]", bool]


class Database:
    """Runs work on a backend. Its `run` is called from the event loop only."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._pending: deque[_Pending] = deque()
        self._working = False
        self._lock = threading.Lock()  # for the two above
        self.is_open = False

    async def open(self) -> None:
        """Connect. Raises what the backend raises."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._backend.open)
        self.is_open = True

    async def run(self, work: Transaction[T], *, durable: bool = True) -> T:
        """The result of `work`, once what it changed is on the disk. What it raises undoes its own changes only.

        Unless it is `durable`, it does not wait for the disk: for changes that are made again after a power cut.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._pending.append((work, future, durable))
            if not self._working:
                self._working = True
                self._thread.submit(self._work, asyncio.get_running_loop())
        return await future

    async def close(self) -> None:
        """Disconnect after the work that is pending. May be called again."""
        if self.is_open:
            self.is_open = False
            await asyncio.get_running_loop().run_in_executor(self._thread, self._backend.close)
        self._thread.shutdown(wait=False)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._lock:
                batch = list(self._pending)
                self._pending.clear()
                self._working = bool(batch)
            if not batch:
                return
            durable = any(durable for *_, durable in batch)
            results = self._transaction([work for work, *_ in batch], durable)
            loop.call_soon_threadsafe(_deliver, [future for _, future, _ in batch], results)

    def _transaction(self, batch: list[Transaction[Any]], durable: bool) -> list[Any]:
        """The results of all work, or the exceptions that they raised."""
        for delay in (*_DELAYS, None):
            try:
                self._backend.begin(durable=durable)
                # Work that is alone needs no savepoint: what it raises undoes the transaction.
                results = [batch[0](self._backend)] if len(batch) == 1 else [self._attempt(work) for work in batch]
                self._backend.execute("COMMIT")
            except Exception as error:  # such as a full disk: nothing of it is stored
                self._backend.rollback()
                if delay is None or not _may_work_now(error):
                    return [error] * len(batch)
                time.sleep(delay)
            else:
                return results
        raise AssertionError("unreachable")

    def _attempt(self, work: Transaction[Any]) -> Any:
        self._backend.execute("SAVEPOINT work")
        try:
            result = work(self._backend)
        except Exception as error:
            if _may_work_now(error):
                raise
            self._backend.execute("ROLLBACK TO SAVEPOINT work")
            result = error
        self._backend.execute("RELEASE SAVEPOINT work")
        return result


_DELAYS = (0.1, 0.5, 2.0)
"""Seconds before each further attempt at a transaction that collided with another, or lost its connection."""


def _may_work_now(error: Exception) -> bool:
    return isinstance(error, DatabaseFailed) and error.again


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
