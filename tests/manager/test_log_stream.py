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
    assert await anext(stream) == ("one", 4)
    with path.open("a") as file:
        file.write("o\nthree\n")
    assert [await anext(stream), await anext(stream)] == [("two", 8), ("three", 14)]
    path.write_text("new\n")
    assert await anext(stream) == ("new", 4)


async def test_lines_stay_whole_however_much_is_written(tmp_path: Path) -> None:
    path = tmp_path / "m.log"
    lines = [f"{number} {'x' * 1000}" for number in range(200)]
    path.write_text("".join(line + "\n" for line in lines))
    stream = follow(path, 0, lambda: False)
    assert [(await anext(stream) or ("", 0))[0] for _ in lines] == lines


async def test_controls_of_terminals_do_not_end_lines(tmp_path: Path) -> None:
    path = tmp_path / "m.log"
    path.write_bytes(b"10%\r50%\x1b[2K\x0b\xe2\x80\xa8end\r\nnext\n")
    text = "10%\r50%\x1b[2K\x0b\u2028end"
    assert last_lines(path, 5)[0] == [text, "next"]
    assert await anext(follow(path, 0, lambda: False)) == (text, 20)


async def test_stream_ends_when_the_manager_stops(tmp_path: Path) -> None:
    assert [line async for line in follow(tmp_path / "m.log", 0, lambda: True)] == []


def test_model_ids_with_slashes_have_a_file(tmp_path: Path) -> None:
    assert log_file(tmp_path, "org/m") == tmp_path / "logs" / "org_m.log"
