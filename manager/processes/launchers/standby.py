"""Standbys: workers started early, which have imported what an engine needs and wait for a model.

They hold no GPU memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from contract.config import ModelSpec
from manager.background import BackgroundTasks
from manager.processes.progress import Progress
from manager.state.process import LoadFailure

log = logging.getLogger(__name__)

LONGEST_DELAY = 300.0
"""Longest time in seconds between two attempts when standbys keep ending by themselves."""

IMPORT_SILENCE = 120.0
"""Seconds without activity after which a standby's imports count as hung."""


@dataclass(frozen=True, slots=True)
class StandbyKey:
    """What a standby and the models that may use it have in common."""

    python: str | None
    env: tuple[tuple[str, str], ...]
    imports: tuple[str, ...]

    @classmethod
    def of(cls, spec: ModelSpec, imports: tuple[str, ...]) -> StandbyKey:
        """The key of a model whose engine has these imports."""
        return cls(spec.python, tuple(sorted(spec.env.items())), imports)

    def __str__(self) -> str:
        return ", ".join(self.imports) or "no imports"


@dataclass(frozen=True, slots=True)
class Backoff:
    """How many standbys failed in a row, why the last one did, and when the next may start (event loop time)."""

    failures: int
    reason: str
    retry_at: float


class StandbyProcess(Protocol):
    """A worker's process without a model. `started` is set once its imports are done."""

    uuid: str
    log_path: Path
    started: asyncio.Event
    from_standby: bool

    @property
    def pid(self) -> int: ...

    @property
    def exit_code(self) -> int | None: ...

    @property
    def is_suspended(self) -> bool: ...

    async def wait(self) -> int: ...

    async def stop(self, grace: float) -> None: ...

    def log_tail(self, lines: int = 20) -> str: ...

    def discard_log(self) -> None: ...


P = TypeVar("P", bound=StandbyProcess)


class Standbys(Generic[P]):
    """Keeps as many standbys as are wanted. Starts one at a time, and none while a worker starts."""

    def __init__(self, launch: Callable[[StandbyKey], Awaitable[P]]) -> None:
        self._launch = launch
        self._idle: dict[StandbyKey, list[P]] = {}
        self._wanted: dict[StandbyKey, int] = {}
        self._backoffs: dict[StandbyKey, Backoff] = {}
        self.requested: set[StandbyKey] = (
            set()
        )  # by starts since this manager began, whether there was a standby or not
        self._worker_starts = 0
        self._no_worker_starts = asyncio.Event()
        self._no_worker_starts.set()
        self._changed = asyncio.Event()
        self._tasks = BackgroundTasks("standbys")
        self._maintaining: asyncio.Task[None] | None = None

    def take(self, key: StandbyKey) -> P | None:
        """A standby for this key, preferably a started one; even one that still imports is ahead of a new process."""
        self.requested.add(key)
        living = [p for p in self._idle.get(key, []) if p.exit_code is None and not p.is_suspended]
        if not living:
            return None
        process = max(living, key=lambda process: process.started.is_set())
        self._idle[key].remove(process)
        if process.started.is_set():
            self._backoffs.pop(key, None)  # standbys with this key work
        process.from_standby = True
        return process

    def keep(self, wanted: Mapping[StandbyKey, int]) -> None:
        """Set how many standbys to keep. One that is taken is only replaced after the next call."""
        self._wanted = dict(wanted)
        self._changed.set()
        if self._maintaining is None or self._maintaining.done():
            self._maintaining = self._tasks.spawn(self._maintain())

    def pause(self) -> None:
        """A worker is starting: start no standby beside it, since each takes seconds of a core."""
        self._worker_starts += 1
        self._no_worker_starts.clear()

    def resume(self) -> None:
        """A worker that was starting is ready, or has failed."""
        self._worker_starts -= 1
        if not self._worker_starts:
            self._no_worker_starts.set()

    def status(self) -> list[dict[str, Any]]:
        """The standbys, and the reasons why others are missing, for the status page."""
        processes = [
            {"pid": process.pid, "imports": list(key.imports), "python": key.python, "born": process.started.is_set()}
            for key, idle in self._idle.items()
            for process in idle
        ]
        now = _now()
        failures = [
            {
                "imports": list(key.imports),
                "python": key.python,
                "failures": backoff.failures,
                "reason": backoff.reason,
                "retry_in": round(max(0.0, backoff.retry_at - now), 1),
            }
            for key, backoff in self._backoffs.items()
            if self._lacks(key)
        ]
        return processes + failures

    async def close(self) -> None:
        """Stop all standbys."""
        self._wanted = {}
        await self._tasks.cancel()
        remaining, self._idle = self._idle, {}
        await asyncio.gather(*(self._stop(process) for idle in remaining.values() for process in idle))

    async def _maintain(self) -> None:
        """Stop surplus standbys, start missing ones, and wait for the next change or retry."""
        while True:
            self._changed.clear()
            await self._stop_surplus()
            await self._no_worker_starts.wait()
            if (key := self._next_missing()) is not None:
                await self._add(key)
                self._changed.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_until_retry()):
                    await self._changed.wait()

    async def _stop_surplus(self) -> None:
        for key, idle in list(self._idle.items()):
            while len(idle) > self._wanted.get(key, 0):
                await self._stop(idle.pop())

    def _lacks(self, key: StandbyKey) -> bool:
        return len(self._idle.get(key, [])) < self._wanted.get(key, 0)

    def _next_missing(self) -> StandbyKey | None:
        """A key that lacks a standby and is not backing off."""
        now = _now()
        return next((key for key in self._wanted if self._lacks(key) and self._retry_at(key) <= now), None)

    def _retry_at(self, key: StandbyKey) -> float:
        backoff = self._backoffs.get(key)
        return backoff.retry_at if backoff else 0.0

    def _seconds_until_retry(self) -> float | None:
        times = [self._retry_at(key) for key in self._wanted if self._lacks(key) and key in self._backoffs]
        return max(0.0, min(times) - _now()) if times else None

    async def _add(self, key: StandbyKey) -> None:
        """Start a standby, and wait until its imports are done or it has ended."""
        try:
            process = await self._launch(key)
        except LoadFailure as failure:
            self._back_off(key, failure.message)
            return
        self._idle.setdefault(key, []).append(process)
        watch = self._tasks.spawn(self._watch(key, process))
        if await self._hangs(process, watch) and process in self._idle[key]:
            self._idle[key].remove(process)
            self._back_off(key, f"its imports showed no activity for {IMPORT_SILENCE:g} s")
            await self._stop(process)

    async def _hangs(self, process: P, watch: asyncio.Task[None]) -> bool:
        """Wait until its imports are done or it has ended; true if it is silent instead."""
        progress, silent_since = Progress(process.pid, process.uuid, process.log_path), _now()
        started = asyncio.create_task(process.started.wait())
        try:
            while not (await asyncio.wait({started, watch}, timeout=1, return_when=asyncio.FIRST_COMPLETED))[0]:
                if await asyncio.to_thread(progress.made_progress):
                    silent_since = _now()
                elif _now() - silent_since > IMPORT_SILENCE:
                    return True
            return False
        finally:
            started.cancel()

    async def _watch(self, key: StandbyKey, process: P) -> None:
        """Remove a standby that ends by itself, and delay the next one."""
        code = await process.wait()
        if process in self._idle.get(key, []):
            self._idle[key].remove(process)
            self._back_off(key, f"it ended with exit code {code}: {process.log_tail(3)}")
            await self._stop(process)
            self._changed.set()

    async def _stop(self, process: P) -> None:
        """Stop a standby that was never used."""
        await process.stop(0)
        process.discard_log()

    def _back_off(self, key: StandbyKey, reason: str) -> None:
        previous = self._backoffs.get(key)
        failures = previous.failures + 1 if previous else 1
        delay = min(LONGEST_DELAY, 2.0**failures)
        self._backoffs[key] = Backoff(failures, reason, _now() + delay)
        log.warning("no standby with %s for %g s: %s", key, delay, reason)


def _now() -> float:
    return asyncio.get_running_loop().time()
