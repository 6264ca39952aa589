"""The store of files: room, ends, and what survives a restart."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from contract.errors import TooLarge
from gateway.jobs.files import FileStore, lines
from gateway.jobs.store import JobStore


async def test_files_survive_a_restart_until_they_expire(tmp_path: Path) -> None:
    now = 1000.0
    store = JobStore(tmp_path, 20, clock=lambda: now)
    await store.open()
    files = FileStore(store, 100)
    kept = await files.add(io.BytesIO(b"kept"), "key:a", "k", "batch", None)
    expiring = await files.add(io.BytesIO(b"expires"), "key:a", "e", "batch", 60)
    await store.close()
    (tmp_path / "files" / "file-never-recorded").write_bytes(b"x")
    again = JobStore(tmp_path, 20, clock=lambda: now)
    await again.open()
    files = FileStore(again, 100)
    with files.open(await files.get("key:a", kept.id)) as file:
        assert file.read() == b"kept"
    now += 60
    await files.expire()
    assert [path.name for path in (tmp_path / "files").iterdir()] == [kept.id]
    assert expiring.expires == 1060
    await again.close()


async def test_all_files_together_have_a_limit(tmp_path: Path) -> None:
    store = JobStore(tmp_path, 20)
    await store.open()
    files = FileStore(store, 10)
    first = await files.add(io.BytesIO(bytes(6)), "", "a", "batch", None)
    with pytest.raises(TooLarge, match=r"jobs\.max_files_gb"):
        await files.add(io.BytesIO(bytes(5)), "", "b", "batch", None)
    await files.remove(None, first.id)
    await files.add(io.BytesIO(bytes(10)), "", "c", "batch", None)
    await store.close()


def test_lines_are_read_within_a_limit() -> None:
    assert list(lines(io.BytesIO(b"ab\n\nc"), 3)) == [b"ab\n", b"\n", b"c"]
    assert [len(line) for line in lines(io.BytesIO(bytes(10)), 3)] == [4], "the rest of such a file is not read"
