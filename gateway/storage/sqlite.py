"""A file of SQLite: the jobs of one gateway, or its stored responses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gateway.storage.database import DatabaseFailed, NewerDatabase, StatementResult, sync_folder


class SqliteBackend:
    """A database in a file, which `open` creates. `steps` are the statements of each version of its tables."""

    shared = False
    locked = ""
    time = "(julianday('now') - 2440587.5) * 86400.0"

    def __init__(self, path: Path, steps: Sequence[Sequence[str]]) -> None:
        self._path = path
        self._steps = steps
        self._connection: Any = None
        self._durable = True

    def open(self) -> None:
        """Open the file, and bring its tables to this version. Raises OSError, DatabaseFailed or NewerDatabase."""
        import sqlite3

        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._connection = sqlite3.connect(self._path, isolation_level=None)
            self._path.chmod(0o600)  # requests and conversations may be private
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")  # a commit returns once the disk has it
            self._migrate()
        except sqlite3.Error as error:
            self.close()
            raise DatabaseFailed(str(error), FOLDER_HINT) from error
        except BaseException:
            self.close()
            raise
        sync_folder(self._path.parent)

    def _migrate(self) -> None:
        """Take the steps that the file lacks, all of them or none."""
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(self._steps):
            raise NewerDatabase(str(self._path), version, len(self._steps))
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for step in self._steps[version:]:
                for statement in step:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {len(self._steps)}")
            self._connection.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise

    def begin(self, *, durable: bool) -> None:
        """Begin a transaction, whose commit waits for the disk if it is `durable`. Raises DatabaseFailed."""
        if durable != self._durable:
            self.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self.execute("BEGIN IMMEDIATE")

    def execute(self, sql: str, parameters: Iterable[Any] = (), /) -> StatementResult:
        """Run a statement. Raises DatabaseFailed."""
        import sqlite3

        try:
            result: StatementResult = self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise DatabaseFailed(str(error), FOLDER_HINT) from error
        return result

    def rollback(self) -> None:
        """Undo the transaction that is open, if there is one."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


FOLDER_HINT = "The state folder must be writable and have free disk space; ENGINEHOUSE_HOME says where it is."
