"""Workers born early: they have imported what an engine needs, and wait for a model. They hold no GPU memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.config import ModelSpec
from manager.processes.launchers import LoadFailure

if TYPE_CHECKING:
    from manager.processes.launchers.local import LocalProcess

log = logging.getLogger(__name__)

LONGEST_DELAY = 300.0
"""Seconds between two tries at most, where standbys end by themselves."""


@dataclass(frozen=True, slots=True)
class StandbyKey:
    """What a standby has in common with the models that may use it."""

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
    """How often in a row standbys ended by themselves, why the last did, and when to try again."""

    count: int
    why: str
    retry_at: float


class Standbys:
    """As many early births as are wanted, one at a time, and none while a worker starts."""

    def __init__(self, bear: Callable[[StandbyKey], Awaitable[LocalProcess]]) -> None:
        self._bear = bear
        self._waiting: dict[StandbyKey, list[LocalProcess]] = {}
        self._wanted: dict[StandbyKey, int] = {}
        self._setbacks: dict[StandbyKey, Backoff] = {}
        self.asked_for: set[StandbyKey] = set()  # since this manager began, whether there was one or not
        self._starts = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self._changed = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None
        self._watching: set[asyncio.Task[None]] = set()

    def take(self, key: StandbyKey) -> LocalProcess | None:
        """A standby for this key, the one that is furthest; even one that still imports is ahead of a new birth."""
        self.asked_for.add(key)
        living = [child for child in self._waiting.get(key, []) if child.exit_code is None]
        if not living:
            return None
        child = max(living, key=lambda child: child.born.is_set())
        self._waiting[key].remove(child)
        if child.born.is_set():
            self._setbacks.pop(key, None)  # it was of use
        child.from_standby = True
        return child

    def keep(self, wanted: Mapping[StandbyKey, int]) -> None:
        """From now on keep as many; the place of one that was taken stays empty until the next call."""
        self._wanted = dict(wanted)
        self._changed.set()
        if self._tending is None or self._tending.done():
            self._tending = asyncio.create_task(self._tend())

    def pause(self) -> None:
        """A worker starts: no births beside it, for each takes seconds of one core."""
        self._starts += 1
        self._calm.clear()

    def resume(self) -> None:
        """It has started, or failed to."""
        self._starts -= 1
        if not self._starts:
            self._calm.set()

    def status(self) -> list[dict[str, Any]]:
        """Who waits, and what keeps others from being born, for the status page."""
        living = [
            {"pid": child.pid, "imports": list(key.imports), "python": key.python, "born": child.born.is_set()}
            for key, children in self._waiting.items()
            for child in children
        ]
        now = time.monotonic()
        failing = [
            {
                "imports": list(key.imports),
                "python": key.python,
                "failures": setback.count,
                "reason": setback.why,
                "retry_in": round(max(0.0, setback.retry_at - now), 1),
            }
            for key, setback in self._setbacks.items()
            if self._lacks(key)
        ]
        return living + failing

    async def close(self) -> None:
        """End all."""
        self._wanted = {}
        if self._tending:
            self._tending.cancel()
            await asyncio.wait({self._tending})
        waiting, self._waiting = self._waiting, {}
        await asyncio.gather(*(self._end(child) for children in waiting.values() for child in children))
        for task in self._watching:
            task.cancel()

    async def _tend(self) -> None:
        """End those that are not wanted, bear those that are missing, and look again when something changes."""
        while True:
            self._changed.clear()
            await self._end_surplus()
            await self._calm.wait()
            if (key := self._next()) is not None:
                await self._add(key)
                self._changed.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._until_retry()):
                    await self._changed.wait()

    async def _end_surplus(self) -> None:
        for key, children in list(self._waiting.items()):
            while len(children) > self._wanted.get(key, 0):
                await self._end(children.pop())

    def _lacks(self, key: StandbyKey) -> bool:
        return len(self._waiting.get(key, [])) < self._wanted.get(key, 0)

    def _next(self) -> StandbyKey | None:
        """A key that lacks a standby and whose last setback is long enough ago."""
        now = time.monotonic()
        return next((key for key in self._wanted if self._lacks(key) and self._retry_at(key) <= now), None)

    def _retry_at(self, key: StandbyKey) -> float:
        setback = self._setbacks.get(key)
        return setback.retry_at if setback else 0.0

    def _until_retry(self) -> float | None:
        times = [self._retry_at(key) for key in self._wanted if self._lacks(key) and key in self._setbacks]
        return max(0.0, min(times) - time.monotonic()) if times else None

    async def _add(self, key: StandbyKey) -> None:
        try:
            child = await self._bear(key)
        except LoadFailure as failure:
            self._set_back(key, failure.message)
            return
        self._waiting.setdefault(key, []).append(child)
        watching = asyncio.create_task(self._watch(key, child))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        born = asyncio.create_task(child.born.wait())
        try:
            await asyncio.wait({born, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            born.cancel()

    async def _watch(self, key: StandbyKey, child: LocalProcess) -> None:
        """A standby that ends by itself is not used, and not born again at once."""
        code = await child.wait()
        if child in self._waiting.get(key, []):
            self._waiting[key].remove(child)
            self._set_back(key, f"it ended with exit code {code}: {child.log_tail(3)}")
            await self._end(child)
            self._changed.set()

    async def _end(self, child: LocalProcess) -> None:
        """End one that was never used."""
        await child.stop(0)
        child.discard_log()

    def _set_back(self, key: StandbyKey, why: str) -> None:
        before = self._setbacks.get(key)
        count = before.count + 1 if before else 1
        delay = min(LONGEST_DELAY, 2.0**count)
        self._setbacks[key] = Backoff(count, why, time.monotonic() + delay)
        log.warning("no standby with %s for %g s: %s", key, delay, why)
