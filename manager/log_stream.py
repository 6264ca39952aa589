"""The log of a program or a model as a stream: its last lines, then what is written."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from contract.log_files import file_name

INTERVAL = 0.25
"""Seconds between two looks at the file."""
PULSE = 15.0
"""Seconds without a line after which the stream shows a sign of life, so that no proxy cuts it."""
MAX_TAIL = 1 << 20
"""Bytes of the end of a file in which the last lines are looked for."""
_PIECE = 1 << 16


def log_file(home: Path, name: str) -> Path:
    """The log of a model, or of `manager` or `gateway`."""
    return home / "logs" / f"{file_name(name)}.log"


def last_lines(path: Path, count: int) -> tuple[list[str], int]:
    """The last whole lines of a file, and the position after them. No file: no lines."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - MAX_TAIL))
        content = file.read(MAX_TAIL)
        whole = content[: content.rfind(b"\n") + 1]
        lines = _split(whole)
        return (lines[-count:] if count else []), end - (len(content) - len(whole))
    return [], 0


async def follow(path: Path, position: int, is_over: Callable[[], bool]) -> AsyncIterator[tuple[str, int] | None]:
    """Yield the lines after `position` as they are written, each with the position after it, until `is_over`.

    None is a sign of life.

    A file that becomes shorter was rotated, and is read from its beginning.
    """
    silent = 0.0
    while not is_over():
        lines, position = await asyncio.to_thread(_lines_after, path, position)
        for line in lines:
            yield line
        silent = 0.0 if lines else silent + INTERVAL
        if silent >= PULSE:
            yield None
            silent = 0.0
        if not lines:
            await asyncio.sleep(INTERVAL)


def _lines_after(path: Path, position: int) -> tuple[list[tuple[str, int]], int]:
    """The whole lines after a position, and the position after them. A line longer than a piece comes in parts."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < position:
            position = 0
        file.seek(position)
        content = file.read(_PIECE)
        whole = content[: content.rfind(b"\n") + 1]
        if not whole and len(content) == _PIECE:
            whole = content
        lines, end = [], position
        for line in re.findall(rb"[^\n]*\n|[^\n]+", whole):
            end += len(line)
            lines.append((line.rstrip(b"\r\n").decode(errors="replace"), end))
        return lines, position + len(whole)
    return [], position


def _split(whole: bytes) -> list[str]:
    """The lines of whole lines. Only line feeds end them: what else a terminal acts on is part of the text."""
    return [line.rstrip(b"\r").decode(errors="replace") for line in whole.split(b"\n")[:-1]]
