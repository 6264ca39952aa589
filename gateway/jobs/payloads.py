"""Files in the state folder for requests and results that are large, written whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gateway.storage.database import sync_folder

LARGE = 256 * 1024
"""More bytes than this are kept in a file."""


class Payloads:
    """The files of all jobs in one folder. A name begins with its job's id, and is never used twice."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, body: bytes) -> None:
        """Write a file, and return once the disk has it. Raises OSError; then there is no file."""
        with self.writing(name) as file:
            file.write(body)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file to write in pieces; at the end of the block, the disk has it. After an error there is no file."""
        temporary = self._folder / f"{name}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(temporary, "wb", opener=_private) as file:  # requests may be private
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._folder / name)
            sync_folder(self._folder)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes:
        """A file's content. Raises OSError."""
        return (self._folder / name).read_bytes()

    def open(self, name: str) -> BinaryIO:
        """A file, to read it in pieces. Raises OSError."""
        return (self._folder / name).open("rb")

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, if they exist."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def remove_all_but(self, names: set[str], age: float = 0.0) -> None:
        """Remove every other file: those of jobs that were never accepted, and of results that were not recorded.

        `age` is how many seconds ago they were last written.
        """
        with suppress(FileNotFoundError):
            for path in list(self._folder.iterdir()):
                if path.name not in names and (not age or path.stat().st_mtime < time.time() - age):
                    path.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def request_file(id_: str) -> str:
    """The name of the file with a job's request."""
    return f"{id_}.request"


def result_file(id_: str, run: int) -> str:
    """The name of the file with the result of a job's run."""
    return f"{id_}.{run}.result"
