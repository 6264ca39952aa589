"""Holds answers that clients have not read yet, and the bodies of requests that wait.

A little of each is in memory, and the rest in temporary files, which share one limit.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from manager.metrics import SPOOL_FULL, SPOOLED

log = logging.getLogger(__name__)
T = TypeVar("T")

IN_MEMORY = 256 * 1024
"""Bytes of one spool that are held in memory before they go to disk, and read from disk at a time."""

FILE_SIZE = 16 * 2**20
"""Bytes in one file. The disk space of a file is free again once all of it was taken."""

PAUSE = 0.05
"""Seconds that a worker waits for a client that is only a little slower, before the disk is used."""

RETRY_AFTER = 5.0
"""Seconds without attempts to write after the disk has failed."""


class SpoolSpace:
    """The disk space that all spools share: files in `folder`, of at most `limit` bytes together.

    The files have no names, so nothing is left behind, however the manager ends.
    """

    def __init__(self, folder: Path, limit: Callable[[], float]) -> None:
        self.folder = folder
        self.used = 0
        self._limit = limit
        self._disk_failed_at = float("-inf")
        self._freed = asyncio.Event()

    def reserve(self, size: int) -> str | None:
        """Reserve space; returns None, or the reason why there is none."""
        if time.monotonic() - self._disk_failed_at < RETRY_AFTER:
            return "disk"
        if self.used + size > self._limit():
            return "limit"
        self.used += size
        SPOOLED.set(self.used)
        return None

    def release(self, size: int) -> None:
        """Give space back, and wake the spools that wait for some."""
        self.used -= size
        SPOOLED.set(self.used)
        self.wake()

    def note_failure(self, error: OSError) -> None:
        """Write nothing more for a while: the disk is full, or broken."""
        self._disk_failed_at = time.monotonic()
        log.warning("the spool cannot be written to %s: %s", self.folder, error)

    async def more_room(self) -> None:
        """Return once something was taken from a spool, or one was closed."""
        await self._freed.wait()

    def wake(self) -> None:
        """Let every spool that waits for room look again."""
        self._freed.set()
        self._freed = asyncio.Event()


@dataclass(slots=True)
class _SpoolFile:
    """A file, and how many bytes of it were written and read."""

    file: IO[bytes]
    written: int = 0
    read: int = 0


class Spool:
    """First in, first out: bytes between a worker and its client. One task puts and one task takes.

    Files are written and read in threads, because a busy disk can take long. `without_room` is what happens when there
    is no disk space, for the log.
    """

    def __init__(self, space: SpoolSpace, without_room: str) -> None:
        self._space = space
        self._without_room = without_room
        self._files: deque[_SpoolFile] = deque()  # what comes before `_tail`
        self._unread = 0  # bytes in the files
        self._reserved = 0
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._tail_taken = asyncio.Event()
        self._lock = asyncio.Lock()
        self._thread: asyncio.Future[Any] | None = None
        self._waited = False
        self._error: OSError | None = None

    async def put(self, chunk: bytes) -> None:
        """Add a chunk. Without disk space, this waits until enough of the spool was taken."""
        self.add(chunk)
        await self.make_room()

    def add(self, chunk: bytes) -> None:
        """Add a chunk, before a call of `make_room`."""
        self._tail.append(chunk)
        self._tail_bytes += len(chunk)

    async def make_room(self) -> None:
        """Move what is too much for the memory to the disk, or wait until it was taken."""
        if self._tail_bytes > IN_MEMORY and not self._unread:
            await self._pause()
        while self._tail_bytes > IN_MEMORY and (reason := await self._spill()):
            if self._error:
                raise self._error
            self._report_wait(reason)
            await self._space.more_room()

    async def take(self) -> bytes:
        """Remove and return the next bytes; none if the spool is empty."""
        async with self._lock:
            if self._unread:
                return await self._take_from_disk()
            chunk = b"".join(self._tail)
            self._tail.clear()
            self._tail_bytes = 0
            self._tail_taken.set()
            self._space.wake()
            return chunk

    def close(self) -> None:
        """Free the memory and the disk space."""
        self._tail.clear()
        self._release(self._reserved)
        if self._thread and not self._thread.done():
            self._thread.add_done_callback(lambda _: self._close_files())
        else:
            self._close_files()

    async def _pause(self) -> None:
        self._tail_taken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE):
                await self._tail_taken.wait()

    async def _take_from_disk(self) -> bytes:
        try:
            chunk, freed = await self._in_thread(self._read)
        except OSError as error:
            self._error = error
            self._space.wake()
            raise
        self._unread -= len(chunk)
        self._release(freed)
        return chunk

    async def _spill(self) -> str | None:
        """Move what is in memory to the disk; returns None, or the reason why that is impossible."""
        async with self._lock:
            block = b"".join(self._tail)
            if reason := self._space.reserve(len(block)):
                return reason
            self._reserved += len(block)
            try:
                await self._in_thread(self._write, block)
            except OSError as error:
                self._space.note_failure(error)
                self._release(len(block))
                return "disk"
            self._unread += len(block)
            self._tail.clear()
            self._tail_bytes = 0
            return None

    def _write(self, block: bytes) -> None:
        if not self._files or self._files[-1].written >= FILE_SIZE:
            file = tempfile.TemporaryFile(buffering=0, dir=self._space.folder)  # noqa: SIM115 - `close` closes it
            self._files.append(_SpoolFile(file))
        last, view = self._files[-1], memoryview(block)
        last.file.seek(last.written)  # after what counts: an earlier write may have failed half-way
        while view:
            view = view[last.file.write(view) :]
        last.written += len(block)

    def _read(self) -> tuple[bytes, int]:
        """The next bytes on disk, and how much disk space that frees."""
        first = self._files[0]
        first.file.seek(first.read)
        chunk = first.file.read(min(IN_MEMORY, first.written - first.read))
        if not chunk:
            raise OSError(f"a file in {self._space.folder} has lost its content")
        first.read += len(chunk)
        if first.read < first.written:
            return chunk, 0
        self._files.popleft().file.close()
        return chunk, first.written

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run in a thread. If this is cancelled, the thread ends what it does before `close` closes its file."""
        self._thread = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
        return await asyncio.shield(self._thread)

    def _release(self, size: int) -> None:
        self._reserved -= size
        if size:
            self._space.release(size)

    def _close_files(self) -> None:
        if self._thread and not self._thread.cancelled():
            self._thread.exception()  # retrieved, so that asyncio does not report it
        for spooled in self._files:
            spooled.file.close()
        self._files.clear()

    def _report_wait(self, reason: str) -> None:
        if not self._waited:
            self._waited = True
            SPOOL_FULL.labels(reason).inc()
            log.warning("%s: no room in the spool (%s)", self._without_room, reason)
