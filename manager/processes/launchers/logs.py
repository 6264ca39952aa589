"""Where workers write: one log file per model, kept over restarts, and never shared by two running workers."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 5 << 20
"""Size above which the next worker begins a new file; the old one is kept beside it as `.log.1`."""

TAIL_BYTES = 16 << 10
"""How much of the end of a file is read to find the last lines."""

PROGRAMS = ("gateway", "manager")
"""These programs write to the same folder: a model with such a name gets `<name>.2.log`."""


class Log:
    """One worker's part of a log file, which begins at byte `start`."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path = path
        self.start = start
        self._final: str | None = None

    def open(self) -> BinaryIO:
        """Open the file for a process to append to."""
        return self.path.open("ab")

    def tail(self, lines: int = 20) -> str:
        """The last lines that this worker wrote, also after `close`, when another worker may be writing."""
        text = self._read() if self._final is None else self._final
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        """The worker has ended: keep its last lines, since the next worker appends to the same file."""
        self._final = self._read()

    def _read(self) -> str:
        with suppress(OSError), self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self.start, end - TAIL_BYTES))
            return file.read(TAIL_BYTES).decode(errors="replace")
        return ""


class Logs:
    """The folder of log files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._in_use = {folder / f"{name}.log" for name in PROGRAMS}

    def for_model(self, model: str) -> Log:
        """A log for a worker of this model that starts now. Slashes in the id become underscores."""
        path = self._claim(model)
        return Log(path, path.stat().st_size if path.exists() else 0)

    def for_standby(self, uuid: str) -> Log:
        """A log for a standby, which has no model yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return Log(self._folder / f"standby-{uuid}.log")

    def assign(self, log: Log, model: str) -> None:
        """Make a standby's log the model's.

        The standby has its file open and goes on appending to it. So the model's earlier log is copied into the
        standby's file, which then replaces the earlier one.
        """
        path = self._claim(model)
        with suppress(OSError):  # a file was removed meanwhile: only what is written from now on counts
            history = path.read_bytes() if path.exists() else b""
            own = log.path.read_bytes()
            os.truncate(log.path, 0)
            with log.open() as file:
                file.write(history + own)
            log.path.replace(path)
            log.path, log.start = path, len(history)

    def release(self, log: Log) -> None:
        """The worker has ended: the model's next worker may use the file."""
        log.close()
        self._in_use.discard(log.path)

    def discard(self, log: Log) -> None:
        """Remove the log of a standby that was never used."""
        log.close()
        log.path.unlink(missing_ok=True)

    def remove_stale(self) -> None:
        """Remove the logs of standbys whose manager was killed."""
        for path in self._folder.glob("standby-*.log"):
            path.unlink(missing_ok=True)

    def _claim(self, model: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        name, number = model.replace("/", "_"), 1
        path = self._folder / f"{name}.log"
        while path in self._in_use:
            number += 1
            path = self._folder / f"{name}.{number}.log"
        self._in_use.add(path)
        if path.exists() and path.stat().st_size > MAX_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path
