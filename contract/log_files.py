"""Log files within a bound: `NAME.log` is rotated to `NAME.log.1`, that to `NAME.log.2`, and so on.

Processes write to them through descriptors that they have inherited, not through `logging` alone: tracebacks, messages
of native libraries and external servers' output arrive there too. A program renames its own file and redirects its
descriptors to a new one, which loses nothing. It cannot redirect those of another process. So such a file is copied
and then truncated; the process goes on at the new end, because its descriptor appends. A pipe instead would make its
output depend on the reader: it would block when the reader is busy, and fail when the reader is gone.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from contract.config import LogSettings

_CHUNK = 1 << 20
_LONGEST_NAME = 180
"""Bytes of an id that a file's name holds; file systems take 255 in all."""


def file_name(model: str) -> str:
    """A model's id as a part of a file's name: slashes become underscores, and a long id is cut."""
    name = model.replace("/", "_").encode()
    if len(name) <= _LONGEST_NAME:
        return name.decode()
    return f"{name[:_LONGEST_NAME].decode(errors='ignore')}-{hashlib.sha256(name).hexdigest()[:16]}"


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to; only its owner may read it. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with suppress(PermissionError):  # it belongs to another user, as after `sudo make start`
        os.fchmod(descriptor, 0o600)  # one that an earlier version created
    return os.fdopen(descriptor, "ab")


def older(path: Path, number: int) -> Path:
    """The file that was rotated `number` times."""
    return path.with_name(f"{path.name}.{number}")


def make_room(path: Path, keep: int) -> None:
    """Move the older files up by one, so that `NAME.log.1` is free, and remove all beyond `keep`. Raises OSError."""
    for number in range(max(keep, 1), keep + 3):  # a larger `keep` may have left more
        older(path, number).unlink(missing_ok=True)
    for number in range(keep - 1, 0, -1):
        with suppress(FileNotFoundError):
            older(path, number).replace(older(path, number + 1))


def rename_away(path: Path, keep: int) -> None:
    """Rotate a file to which no process writes. Raises OSError."""
    make_room(path, keep)
    if keep:
        path.replace(older(path, 1))
    else:
        path.unlink()


def copy_and_truncate(path: Path, settings: LogSettings) -> None:
    """Rotate a file to which a process appends. Of a larger file, its last `max_mb` are kept. Raises OSError.

    What is written between the last read and the truncation is lost. The file is truncated even if the disk is full.
    """
    with path.open("r+b") as file:
        try:
            if settings.keep:
                make_room(path, settings.keep)
                _copy(file, older(path, 1), settings.max_bytes)
        finally:
            file.truncate(0)


def _copy(file: BinaryIO, target: Path, max_bytes: int) -> None:
    """Copy the last bytes up to the file's end, however fast it grows, but at most twice as many."""
    file.seek(max(0, os.fstat(file.fileno()).st_size - max_bytes))
    remaining = 2 * max_bytes
    with open_log(target) as copy:
        while remaining > 0 and (chunk := file.read(min(_CHUNK, remaining))):
            copy.write(chunk)
            remaining -= len(chunk)


class StderrRotation(logging.Handler):
    """A handler that writes nothing: after each record, it rotates the file to which this process's stderr goes."""

    def __init__(self, path: Path, settings: LogSettings) -> None:
        super().__init__()
        self._path, self._settings = path, settings
        self._limit = settings.max_bytes

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - only its arrival counts
        """Rotate if the file has become too large."""
        size = os.fstat(2).st_size
        if size < self._limit:
            return
        try:
            self._rotate()
            self._limit = self._settings.max_bytes
        except OSError as error:
            self._limit = size + self._settings.max_bytes  # try again then, and not with every record
            sys.stderr.write(f"{self._path} cannot be rotated: {error}\n")

    def _rotate(self) -> None:
        new = self._path.with_name(f"{self._path.name}.new")  # opened first: if that fails, nothing has changed
        old = os.fstat(2)
        with open_log(new) as file:
            rename_away(self._path, self._settings.keep)
            new.replace(self._path)
            for descriptor in (1, 2):
                if os.path.samestat(os.fstat(descriptor), old):
                    os.dup2(file.fileno(), descriptor)


def rotate_stderr(path: Path, settings: LogSettings) -> None:
    """Keep this program's log within its bound, if its stderr goes to `path`, and not to a terminal or a journal."""
    try:
        if not os.path.samestat(os.fstat(2), path.stat()):
            return
    except OSError:
        return
    open_log(path).close()  # makes it private, whatever has created it
    rotation = StderrRotation(path, settings)
    for logger in (logging.getLogger(), logging.getLogger("access")):
        logger.addHandler(rotation)
