"""Pages of a log, read backwards from any position in pieces, and searched within a bound."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from contract.log_files import file_name, older
from contract.logs import LogFile, LogLine, LogPage
from manager.log_stream import log_file

MAX_SCAN = 4 << 20
"""Bytes that one page looks at."""
MAX_LINE = 8 << 10
"""Characters of a line that are shown."""
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines of a log: at most `count` that contain `search`, before the byte `before` (None: the file's end).

    `older` is the number of a rotated file; 0 is the current one.
    """

    count: int = 200
    before: int | None = None
    search: str = ""
    older: int = 0


def files(home: Path, programs: Iterable[str], models: Iterable[str]) -> list[LogFile]:
    """The logs that there are: of the programs, then of the models by name."""
    known = [*((name, "program") for name in programs), *((name, "model") for name in sorted(models))]
    found: list[LogFile] = []
    for name, kind in known:
        for candidate in (name, *_seconds(home, name)):
            if (log := _describe(home, candidate, kind)) and log.name not in {other.name for other in found}:
                found.append(log)
    return found


def is_second(home: Path, name: str, models: Iterable[str]) -> bool:
    """Whether a name is that of the log of a model's second or third worker at the same time, such as `ocr.2`."""
    base, _, number = name.rpartition(".")
    return number.isdecimal() and len(number) < 3 and base in set(models) and log_file(home, name).exists()


def read_page(home: Path, name: str, query: LogQuery) -> LogPage:
    """A page of a log. A file that does not exist has no lines."""
    current = log_file(home, name)
    path = older(current, query.older) if query.older else current
    has_older = older(current, query.older + 1).exists()
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            lines, before, end = _Reader(file, query, size).read()
    except FileNotFoundError:
        lines, before, end, size = [], 0, 0, 0
    return LogPage(name=name, older=query.older, lines=lines, before=before, end=end, size=size, has_older=has_older)


class _Reader:
    """Reads one page of an open file from its end to its beginning."""

    def __init__(self, file: BinaryIO, query: LogQuery, size: int) -> None:
        self._file, self._query = file, query
        self._needle = query.search.casefold()
        self._end = size if query.before is None else min(query.before, size)
        self._position = self._end
        self._rest = b""  # the end of a line whose beginning is not read yet

    def read(self) -> tuple[list[LogLine], int, int]:
        """The lines, where the page before ends, and the position after the last whole line."""
        if self._query.before is None:
            self._leave_out_unfinished_line()
        end, found = self._end, list[LogLine]()
        while self._position and len(found) < self._query.count and end - self._position < MAX_SCAN:
            for line in self._lines_before():
                found.append(line)
                if len(found) == self._query.count:
                    return found[::-1], line.position, end
        if self._position and len(self._rest) >= MAX_SCAN:  # one line is longer than all that a page looks at
            found.append(_line(self._position, self._rest))
            self._rest = b""
        return found[::-1], self._position + len(self._rest), end

    def _leave_out_unfinished_line(self) -> None:
        """A line that is still being written is for the next page, or for who follows the log."""
        self._file.seek(max(0, self._end - MAX_SCAN))
        last = self._file.read(MAX_SCAN).rfind(b"\n")
        self._end = self._position = max(0, self._end - MAX_SCAN) + last + 1 if last >= 0 else self._end

    def _lines_before(self) -> Iterator[LogLine]:
        """The lines of the piece before, the last one first."""
        start = max(0, self._position - _PIECE)
        self._file.seek(start)
        block = self._file.read(self._position - start) + self._rest
        self._position = start
        first = block.find(b"\n") + 1 if start else 0
        if start and not first:
            self._rest = block
            return
        self._rest = block[:first]
        end = len(block)
        while end > first:
            begin = max(first, block.rfind(b"\n", first, end - 1) + 1)
            line = _line(start + begin, block[begin:end])
            if self._needle in line.text.casefold():
                yield line
            end = begin


def _line(position: int, raw: bytes) -> LogLine:
    text = raw.rstrip(b"\r\n").decode(errors="replace")
    if len(text) > MAX_LINE:
        text = f"{text[:MAX_LINE]}… ({len(text) - MAX_LINE} more characters)"
    return LogLine(position=position, text=text)


def _describe(home: Path, name: str, kind: str) -> LogFile | None:
    path = log_file(home, name)
    try:
        stat = path.stat()
    except OSError:
        return None
    number = 0
    while older(path, number + 1).exists():
        number += 1
    return LogFile(name=name, kind=kind, bytes=stat.st_size, modified=stat.st_mtime, older=number)


def _seconds(home: Path, model: str) -> list[str]:
    """The logs of a model's further workers at the same time."""
    prefix = f"{file_name(model)}."
    numbers = range(2, 10)
    return [f"{model}.{number}" for number in numbers if (home / "logs" / f"{prefix}{number}.log").exists()]
