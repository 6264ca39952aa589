"""Databases that other versions have written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from contract.errors import Unavailable
from gateway.jobs.job import JobFilter, JobState
from gateway.jobs.schema import STEPS
from gateway.jobs.store import JobStore
from gateway.storage.database import DatabaseFailed, NewerDatabase
from gateway.storage.sqlite import SqliteBackend
from gateway.storage.storing import storing

FIRST_VERSION = Path(__file__).with_name("first_version.sql")
"""A database from before versions were counted: a job that is completed, one that runs and one that waits."""


def written(folder: Path, version: int) -> Path:
    """A database in which a gateway of an earlier version has left jobs."""
    path = folder / "jobs.db"
    connection = sqlite3.connect(path)
    connection.executescript(FIRST_VERSION.read_text())
    for statement in (statement for step in STEPS[1:version] for statement in step):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize("version", range(len(STEPS) + 1))
async def test_jobs_of_earlier_versions_go_on(tmp_path: Path, version: int) -> None:
    written(tmp_path, version)
    store = JobStore(tmp_path, 20)
    await store.open()
    third, second, first = await store.page(JobFilter("key:a"))
    assert (first.state, (await store.result_of(first)).body) == (JobState.COMPLETED, b'{"a": 12}')
    claimed = (await store.turn(lambda _: 9, 30)).runs
    assert [(run.job.id, run.job.run) for run in claimed] == [(second.id, 2), (third.id, 1)]
    assert (await store.request_of(claimed[0])).body == b'{"n": 2}'
    assert (first.keeps_request, second.request_bytes) == (False, 8)
    await store.close()
    again = sqlite3.connect(tmp_path / "jobs.db")
    assert again.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    again.close()


async def test_failed_step_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    written(tmp_path, 1)
    steps = (*STEPS[:1], ("CREATE TABLE new (n INTEGER)", "nonsense"))
    with pytest.raises(DatabaseFailed):
        SqliteBackend(tmp_path / "jobs.db", steps).open()
    connection = sqlite3.connect(tmp_path / "jobs.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'new'").fetchone() == (0,)
    connection.close()


async def test_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, 1)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Unavailable, match=r"version 99 .* move the database away"), storing("Jobs"):
        await JobStore(tmp_path, 20).open()
    assert path.read_bytes()[100:] == before[100:]
    with pytest.raises(NewerDatabase):
        await JobStore(tmp_path, 20).open()
