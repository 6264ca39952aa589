"""Notices when the configuration file, or the `.env` beside it, has been saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from contract import config
from contract.config import ConfigError, Settings

LOOKS = 10
"""How often a file is looked at that changes all the time, before it is read."""

Stamp = tuple[tuple[int, int, int] | None, ...]


class ConfigurationFile:
    """The file as it was last read. Every method but `changed` may block on the disk."""

    def __init__(self) -> None:
        self.path = config.default_path()
        self._read = self._stamp()
        self._existed = self.exists

    @property
    def exists(self) -> bool:
        """Whether there was a file when it was last read."""
        return self._read[0] is not None

    def note_read(self) -> None:
        """What the file holds now is known: `changed` waits for the next change."""
        self._read = self._stamp()
        self._existed |= self.exists

    def load(self) -> Settings:
        """Read the file. Raises ConfigError, also if there was a file and it is gone."""
        self.note_read()
        if self._existed and not self.exists:
            raise ConfigError(f"{self.path.absolute()} is gone; put it back, or restart without it")
        return config.load()

    async def changed(self, interval: Callable[[], float]) -> None:
        """Return once the file has changed, and stayed the same for an interval, in seconds; 0: do not look.

        This works also where the system notifies us of nothing: in folders that other machines or containers change.
        Editors replace files, so they are found by their names.
        """
        while True:
            await asyncio.sleep(interval() or 1.0)
            read = self._read
            if interval() and await asyncio.to_thread(self._stamp) != read:
                await self._settled(interval())
                if self._read is read:  # otherwise it was read meanwhile, or changed by ourselves
                    return

    async def _settled(self, interval: float) -> None:
        stamp = None
        for _ in range(LOOKS):
            before, stamp = stamp, await asyncio.to_thread(self._stamp)
            if stamp == before:
                return
            await asyncio.sleep(interval)

    def _stamp(self) -> Stamp:
        """What changes when one of the files is written or replaced."""
        return tuple(_stamp_of(file) for file in (self.path, self.path.parent / ".env"))


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
