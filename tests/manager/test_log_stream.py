"""Logs as streams: the last lines, what is written, and rotation."""

from __future__ import annotations

from pathlib import Path

from manager.log_stream import follow, last_lines, log_file


def test_last_lines_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.log"
    assert last_lines(path, 5) == ([], 0)
    path.write_text("one\ntwo\nthr")
    assert last_lines(path, 1) == (["two"], 8)
    assert last_lines(path, 0) == ([], 8)


async def test_follows_what_is_written_and_rotation(tmp_path: Path) -> None:
    path = tmp_path / "m.log"
    path.write_text("one\ntw")
    stream = follow(path, 0, lambda: False)
    assert await anext(stream) == "one"
    with path.open("a") as file:
        file.write("o\nthree\n")
    assert [await anext(stream), await anext(stream)] == ["two", "three"]
    path.write_text("new\n")
    assert await anext(stream) == "new"


async def test_stream_ends_when_the_manager_stops(tmp_path: Path) -> None:
    assert [line async for line in follow(tmp_path / "m.log", 0, lambda: True)] == []


def test_model_ids_with_slashes_have_a_file(tmp_path: Path) -> None:
    assert log_file(tmp_path, "org/m") == tmp_path / "logs" / "org_m.log"
