"""Workers born early: they have imported what an engine needs, and wait for a model. They hold no GPU memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.config import ModelSpec
from manager.launchers import LoadFailure

if TYPE_CHECKING:
    from manager.launchers.local import LocalProcess

log = logging.getLogger(__name__)

LONGEST_DELAY = 300.0


@dataclass(frozen=True, slots=True)
class Key:
    """What a standby has in common with the models that may use it."""

    python: str | None
    env: tuple[tuple[str, str], ...]
    imports: tuple[str, ...]

    @classmethod
    def of(cls, spec: ModelSpec, imports: tuple[str, ...]) -> Key:
        return cls(spec.python, tuple(sorted(spec.env.items())), imports)


class Standbys:
    """As many early births as are wanted, one birth at a time."""

    def __init__(self, bear: Callable[[Key], Awaitable[LocalProcess]]) -> None:
        self._bear = bear
        self._waiting: dict[Key, list[LocalProcess]] = {}
        self._wanted: dict[Key, int] = {}
        self._failures: dict[Key, tuple[int, float]] = {}  # how many in a row, and when to try again
        self._tending: asyncio.Task[None] | None = None
        self._watching: set[asyncio.Task[None]] = set()

    def take(self, key: Key) -> LocalProcess | None:
        """A standby for this key, the one that is furthest; even one that still imports is ahead of a new birth."""
        living = [child for child in self._waiting.get(key, []) if child.exit_code is None]
        if not living:
            return None
        child = max(living, key=lambda child: child.born.is_set())
        self._waiting[key].remove(child)
        return child

    def keep(self, wanted: Mapping[Key, int]) -> None:
        """From now on keep as many. Call it when nothing is starting: a birth takes seconds of one core."""
        self._wanted = dict(wanted)
        if self._tending is None or self._tending.done():
            self._tending = asyncio.create_task(self._tend())

    def status(self) -> list[dict[str, Any]]:
        """Who waits, for the status page."""
        return [
            {"pid": child.pid, "imports": list(key.imports), "python": key.python, "born": child.born.is_set()}
            for key, children in self._waiting.items()
            for child in children
        ]

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
        for key, children in list(self._waiting.items()):
            while len(children) > self._wanted.get(key, 0):
                await self._end(children.pop())
        for key, count in list(self._wanted.items()):
            while len(self._waiting.setdefault(key, [])) < count and self._may_try(key):
                await self._add(key)

    async def _end(self, child: LocalProcess) -> None:
        """It was never used: its log says nothing that anybody would look for."""
        await child.stop(1)
        child.log_path.unlink(missing_ok=True)

    def _may_try(self, key: Key) -> bool:
        return self._failures.get(key, (0, 0.0))[1] <= time.monotonic()

    async def _add(self, key: Key) -> None:
        try:
            child = await self._bear(key)
        except LoadFailure as failure:
            self._failed(key, failure.message)
            return
        self._waiting[key].append(child)
        task = asyncio.create_task(self._watch(key, child))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        born = asyncio.ensure_future(child.born.wait())
        await asyncio.wait({born, task}, return_when=asyncio.FIRST_COMPLETED)
        born.cancel()
        if child.exit_code is None:
            self._failures.pop(key, None)

    async def _watch(self, key: Key, child: LocalProcess) -> None:
        """A standby that ends by itself is not used, and not born again at once."""
        code = await child.wait()
        if child in self._waiting.get(key, []):
            self._waiting[key].remove(child)
            self._failed(key, f"it ended with exit code {code}: {child.log_tail(3)}")
            await child.stop(0)

    def _failed(self, key: Key, why: str) -> None:
        count = self._failures.get(key, (0, 0.0))[0] + 1
        delay = min(LONGEST_DELAY, 2.0**count)
        self._failures[key] = (count, time.monotonic() + delay)
        log.warning("no standby with %s for %g s: %s", ", ".join(key.imports) or "no imports", delay, why)
