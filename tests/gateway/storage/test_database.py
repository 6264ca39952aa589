"""Work that shares transactions."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.storage.database import Database, DatabaseFailed, SqlConnection
from gateway.storage.sqlite import SqliteBackend


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(SqliteBackend(tmp_path / "new" / "jobs.db", ()))
    await database.open()
    await database.run(lambda connection: connection.execute("CREATE TABLE t (n INTEGER UNIQUE)").rowcount)
    yield database
    await database.close()


def insert(*numbers: int) -> Any:
    def work(connection: SqlConnection) -> None:
        for number in numbers:
            connection.execute("INSERT INTO t VALUES (?)", (number,))

    return work


async def test_failed_work_undoes_only_its_own_changes(database: Database) -> None:
    tasks = [database.run(work) for work in (insert(1), insert(2, 1), insert(3))]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), DatabaseFailed, type(None)]
    rows = await database.run(lambda connection: connection.execute("SELECT n FROM t ORDER BY n").fetchall())
    assert rows == [(1,), (3,)]


async def test_returned_work_is_visible_to_others(database: Database, tmp_path: Path) -> None:
    await database.run(insert(7))
    other = sqlite3.connect(tmp_path / "new" / "jobs.db")
    assert other.execute("SELECT n FROM t").fetchall() == [(7,)]
    other.close()


async def test_commits_wait_for_the_disk(database: Database) -> None:
    level = await database.run(lambda connection: connection.execute("PRAGMA synchronous").fetchone())
    assert level == (2,), "FULL"


async def test_only_the_owner_can_read_the_file(database: Database, tmp_path: Path) -> None:
    assert (tmp_path / "new" / "jobs.db").stat().st_mode & 0o077 == 0
