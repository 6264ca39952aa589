"""Where workers write: one log a model, kept over restarts, and never two living workers in one file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LARGEST = 5 << 20
"""Bytes above which the next worker begins a new file; the old one is kept beside it as `.log.1`."""

TAIL = 16 << 10
"""Bytes that are looked at for the last lines."""

PROGRAMS = ("gateway", "manager")
"""They write to the same folder: a model of that name gets `<name>.2.log`."""


class Log:
    """What one worker writes: the part of a file that begins at `start`."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path = path
        self.start = start
        self._last: str | None = None

    def open(self) -> BinaryIO:
        """The file, for a process to append to."""
        return self.path.open("ab")

    def tail(self, lines: int = 20) -> str:
        """The worker's last lines: of its own alone, and as they were at its end once it is closed."""
        text = self._read() if self._last is None else self._last
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        """Its worker has ended; what comes into the file from now on is another's."""
        self._last = self._read()

    def _read(self) -> str:
        with suppress(OSError), self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self.start, end - TAIL))
            return file.read(TAIL).decode(errors="replace")
        return ""


class Logs:
    """A folder of logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken = {folder / f"{name}.log" for name in PROGRAMS}

    def of_model(self, model: str) -> Log:
        """The model's log, for a worker that is born now; an id's slashes become underscores."""
        path = self._claim(model)
        return Log(path, path.stat().st_size if path.exists() else 0)

    def of_standby(self, uuid: str) -> Log:
        """A log for a worker that has no model yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return Log(self._folder / f"standby-{uuid}.log")

    def hand_over(self, log: Log, model: str) -> None:
        """Make a standby's log the model's.

        The standby has its file open and goes on appending to it, so the file takes the model's history in and then
        its place.
        """
        path = self._claim(model)
        with suppress(OSError):  # somebody removed a file: what is written from now on counts
            history = path.read_bytes() if path.exists() else b""
            said = log.path.read_bytes()
            os.truncate(log.path, 0)
            with log.open() as file:
                file.write(history + said)
            log.path.replace(path)
            log.path, log.start = path, len(history)

    def release(self, log: Log) -> None:
        """The worker has ended: the next one may write there."""
        log.close()
        self._taken.discard(log.path)

    def forget(self, log: Log) -> None:
        """A standby that was never used said nothing that anybody would look for."""
        log.close()
        log.path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what standbys of a manager that was killed have left."""
        for path in self._folder.glob("standby-*.log"):
            path.unlink(missing_ok=True)

    def _claim(self, model: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        name, number = model.replace("/", "_"), 1
        path = self._folder / f"{name}.log"
        while path in self._taken:
            number += 1
            path = self._folder / f"{name}.{number}.log"
        self._taken.add(path)
        if path.exists() and path.stat().st_size > LARGEST:
            path.replace(path.with_suffix(".log.1"))
        return path
