"""One download of a model from the hub: how far it is, how fast, and how it has ended."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import ServeError
from contract.status import DownloadState, DownloadStatus

_RATE_WINDOW = 30.0
"""Seconds over which the rate is measured."""


@dataclass(frozen=True, slots=True)
class DownloadKey:
    """What makes two downloads the same: the source, its revision, and the cache that it goes to."""

    source: str
    revision: str | None
    cache: Path


@dataclass(eq=False)
class ModelDownload:
    """One download; `model` began it. Bytes are those of all files, what was there before included."""

    key: DownloadKey
    model: str
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    state: DownloadState = DownloadState.RUNNING
    phase: str = "listing"
    done: int = 0
    total: int | None = None
    file: str | None = None
    started: float = field(default_factory=time.time)
    error: ServeError | None = None
    process: asyncio.subprocess.Process | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _points: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=120))  # when, bytes

    @property
    def running(self) -> bool:
        return self.state is DownloadState.RUNNING

    @property
    def rate(self) -> float | None:
        """Bytes per second, lately."""
        if len(self._points) < 2:
            return None
        (first, before), (last, now) = self._points[0], self._points[-1]
        return (now - before) / (last - first) if last > first and now > before else None

    @property
    def seconds_left(self) -> float | None:
        """An estimate of when it is done; None while nothing is known of its size or rate."""
        if not self.running or self.total is None or self.rate is None or self.phase == "verifying":
            return None
        return max(0, self.total - self.done) / self.rate

    def update(self, report: Mapping[str, Any], now: float) -> bool:
        """Note what the process reports; whether that is progress. `now`: monotonic seconds."""
        before = (self.phase, self.done)
        self.phase, self.done, self.total = report["phase"], report["done"], report["total"]
        self.file = report.get("file")
        if before[0] != self.phase:
            self._points.clear()
        self._points.append((now, self.done))
        while now - self._points[0][0] > _RATE_WINDOW:
            self._points.popleft()
        self.notify()
        return before != (self.phase, self.done)

    def end(self, state: DownloadState, error: ServeError | None = None) -> None:
        self.state, self.error = state, error
        self.notify()

    def notify(self) -> None:
        """Wake what waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def next(self, pulse: float) -> None:
        """Return after the next change, or after `pulse` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pulse):
                await self._changed.wait()

    async def begun(self, patience: float) -> None:
        """Return once the hub sends its files, or it has ended; after `patience` seconds in any case.

        A hub lists the files of a gated model for everyone, and refuses the first one.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self.running and not self.done:
                    await self._changed.wait()

    async def result(self) -> None:
        """Return once it is done. Raises the ServeError that it has failed with."""
        while self.running:
            await self._changed.wait()
        if self.error:
            raise self.error

    def message(self) -> str:
        """How far it is, for people."""
        if self.total is None:
            return f"downloading {self.key.source}: asking the hub for its files"
        verb = "verifying" if self.phase == "verifying" else "downloading"
        left = "" if self.seconds_left is None else f", about {self.seconds_left:.0f} s left"
        return f"{verb} {self.key.source}: {self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB{left}"

    def status(self) -> DownloadStatus:
        """The download as clients see it."""
        return DownloadStatus(
            id=self.id,
            model=self.model,
            source=self.key.source,
            revision=self.key.revision,
            state=self.state,
            phase=self.phase if self.running else None,
            bytes=self.done,
            total=self.total,
            file=self.file if self.running else None,
            bytes_per_second=None if self.rate is None or not self.running else round(self.rate),
            seconds_left=None if self.seconds_left is None else round(self.seconds_left, 1),
            started=self.started,
            error=self.error.envelope()["error"] if self.error else None,
        )
