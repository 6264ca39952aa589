"""A database of PostgreSQL that several gateways share, in a schema of its own."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.storage.database import DatabaseFailed, NewerDatabase, StatementResult

_TYPES = {
    "INTEGER PRIMARY KEY AUTOINCREMENT": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "INTEGER": "BIGINT",
    "REAL": "DOUBLE PRECISION",
    "BLOB": "BYTEA",
}
"""What SQLite's types are called here."""
_ANY_TYPE = re.compile("|".join(rf"\b{name}\b" for name in _TYPES))
_LOCK = 0x454E47494E45
"""The advisory lock that one gateway holds while it changes the tables."""
_CONNECT_SECONDS = 5


class PostgresBackend:
    """A connection to `url`, which is renewed before a transaction if it was lost.

    `steps` are the statements of each version of its tables, with SQLite's names of types.
    """

    shared = True
    locked = "FOR UPDATE SKIP LOCKED"
    time = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"

    def __init__(self, url: str, steps: Sequence[Sequence[str]]) -> None:
        self._url = url
        self._steps = steps
        self._connection: Any = None

    def open(self) -> None:
        """Connect, and bring the tables to this version. Raises DatabaseFailed or NewerDatabase."""
        self._connect()
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        self.close()
        try:
            psycopg = _library()
        except ImportError as error:
            raise DatabaseFailed("psycopg is missing; install enginehouse[postgres]", _HINT) from error
        try:
            self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
            self._connection.execute("CREATE SCHEMA IF NOT EXISTS enginehouse")
            self._connection.execute("SET search_path TO enginehouse")
        except psycopg.Error as error:
            raise DatabaseFailed(str(error).strip(), _HINT, again=True) from error

    def _migrate(self) -> None:
        """Take the steps that the database lacks, all of them or none, and in one gateway at a time."""
        self.execute("BEGIN")
        try:
            self.execute("SELECT pg_advisory_xact_lock(?)", (_LOCK,))
            self.execute("CREATE TABLE IF NOT EXISTS version (number BIGINT NOT NULL)")
            row = self.execute("SELECT number FROM version").fetchone()
            version = row[0] if row else 0
            if version > len(self._steps):
                raise NewerDatabase("PostgreSQL", version, len(self._steps))
            for statement in (statement for step in self._steps[version:] for statement in step):
                self.execute(_ANY_TYPE.sub(lambda found: _TYPES[found[0]], statement))
            self.execute("DELETE FROM version")
            self.execute("INSERT INTO version VALUES (?)", (len(self._steps),))
            self.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise

    def begin(self, *, durable: bool) -> None:  # noqa: ARG002 - every commit waits for the disk
        """Begin a transaction, if need be on a new connection. All are durable. Raises DatabaseFailed."""
        if self._connection is None or self._connection.closed:
            self._connect()
        self.execute("BEGIN")

    def execute(self, sql: str, parameters: Iterable[Any] = (), /) -> StatementResult:
        """Run a statement. Raises DatabaseFailed."""
        psycopg = _library()
        try:
            result: StatementResult = self._connection.execute(sql.replace("?", "%s"), tuple(parameters))
        except psycopg.Error as error:
            collided = isinstance(error, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)
            lost = self._connection.closed and sql != "COMMIT"  # after that, it may be stored or not
            raise DatabaseFailed(str(error).strip(), _HINT, again=collided or lost) from error
        return result

    def rollback(self) -> None:
        """Undo the transaction that is open, if there is one."""
        psycopg = _library()
        try:
            if self._connection is not None and not self._connection.closed:
                self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self.close()

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _library() -> Any:
    """The library psycopg, which is installed for several gateways only. Raises ImportError."""
    return importlib.import_module("psycopg")


_HINT = "jobs.database says where PostgreSQL is; it must run, and let the gateway in."
