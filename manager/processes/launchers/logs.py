"""Where workers write: one log file per model, kept over restarts, and never shared by two running workers."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from contract.config import LogSettings
from contract.log_files import copy_and_truncate, file_name, older, open_log, rename_away

logger = logging.getLogger(__name__)

CHECK_INTERVAL = 1.0
"""Seconds between two looks at the files' sizes: a file exceeds its bound by what is written meanwhile."""

TAIL_BYTES = 16 << 10
"""How much of the end of a file is read to find the last lines."""

PROGRAMS = ("gateway", "manager")
"""These programs write to the same folder: a model with such a name gets `<name>.2.log`."""


class Log:
    """One worker's part of a log file, which begins at byte `start`."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path = path
        self.start = start
        self._rotated = False
        self._final: str | None = None

    def open(self) -> BinaryIO:
        """Open the file for a process to append to."""
        return open_log(self.path)

    def tail(self, lines: int = 20) -> str:
        """The last lines that this worker wrote, also after `close`, when another worker may be writing."""
        text = self._read() if self._final is None else self._final
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        """The worker has ended: keep its last lines, since the next worker appends to the same file."""
        self._final = self._read()

    def rotate(self, settings: LogSettings) -> None:
        """Rotate the file if it is too large, while its process goes on writing. Raises OSError."""
        if self._final is None and self.path.stat().st_size >= settings.max_bytes:
            self.start, self._rotated = 0, True
            copy_and_truncate(self.path, settings)

    def _read(self) -> str:
        last = _last_bytes(self.path, self.start)
        if self._rotated and len(last) < TAIL_BYTES:
            last = (_last_bytes(older(self.path, 1)) + last)[-TAIL_BYTES:]
        return last.decode(errors="replace")


def _last_bytes(path: Path, start: int = 0) -> bytes:
    """The end of a file, from byte `start` on at most."""
    with suppress(OSError), path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(start, end - TAIL_BYTES))
        return file.read(TAIL_BYTES)
    return b""


class Logs:
    """The folder of log files. `settings` returns the bounds that are configured now."""

    def __init__(self, folder: Path, settings: Callable[[], LogSettings] = LogSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._in_use = {folder / f"{name}.log" for name in PROGRAMS}
        self._open: set[Log] = set()
        self._lock = threading.Lock()  # files are copied in a thread

    async def keep_within_bounds(self) -> None:
        """Rotate files that become too large, for ever."""
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            await asyncio.to_thread(self.rotate)

    def rotate(self) -> None:
        """Rotate every open file that is too large."""
        for log in tuple(self._open):
            try:
                with self._lock:
                    log.rotate(self._settings())
            except FileNotFoundError:
                continue  # nothing was written yet, or a person has removed it
            except OSError as error:
                logger.warning("part of %s is lost, since it cannot be rotated: %s", log.path, error)

    def for_model(self, model: str) -> Log:
        """A log for a worker of this model that starts now. Slashes in the id become underscores."""
        path = self._claim(model)
        return self._opened(Log(path, path.stat().st_size if path.exists() else 0))

    def for_standby(self, uuid: str) -> Log:
        """A log for a standby, which has no model yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._opened(Log(self._folder / f"standby-{uuid}.log"))

    def assign(self, log: Log, model: str) -> None:
        """Make a standby's log the model's.

        The standby has its file open and goes on appending to it. So the model's earlier log is copied into the
        standby's file, which then replaces the earlier one.
        """
        path = self._claim(model)
        with self._lock, suppress(OSError):  # a file was removed meanwhile: only what is written from now on counts
            history = path.read_bytes() if path.exists() else b""
            own = log.path.read_bytes()
            os.truncate(log.path, 0)
            with log.open() as file:
                file.write(history + own)
            log.path.replace(path)
            log.path, log.start = path, len(history)

    def release(self, log: Log) -> None:
        """The worker has ended: the model's next worker may use the file."""
        self._close(log)
        self._in_use.discard(log.path)

    def discard(self, log: Log) -> None:
        """Remove the log of a standby that was never used."""
        self._close(log)
        _remove(log.path)

    def remove_stale(self) -> None:
        """Remove the logs of standbys whose manager was killed."""
        for path in self._folder.glob("standby-*.log"):
            _remove(path)

    def _opened(self, log: Log) -> Log:
        self._open.add(log)
        return log

    def _close(self, log: Log) -> None:
        with self._lock:
            log.close()
        self._open.discard(log)

    def _claim(self, model: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        name, number = file_name(model), 1
        path = self._folder / f"{name}.log"
        while path in self._in_use:
            number += 1
            path = self._folder / f"{name}.{number}.log"
        self._in_use.add(path)
        with suppress(OSError):  # there is none yet; or it only becomes larger
            if path.stat().st_size >= self._settings().max_bytes:
                rename_away(path, self._settings().keep)
        return path


def _remove(path: Path) -> None:
    """Remove a log and its older files."""
    for file in (path, *path.parent.glob(f"{path.name}.*")):
        file.unlink(missing_ok=True)
