"""Background tasks with an owner, which keeps them alive, logs their failures, and waits for or cancels them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger(__name__)


class BackgroundTasks:
    """The tasks of one owner. `on_done` runs after each of them, however it ended."""

    def __init__(self, owner: str, on_done: Callable[[], None] = lambda: None) -> None:
        self._owner = owner
        self._on_done = on_done
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop itself holds tasks only weakly

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task. An exception that it raises goes to the log."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    async def wait(self) -> None:
        """Return once no task is left, including those that tasks start meanwhile."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self) -> None:
        """Cancel every task and wait until all have ended."""
        for task in self._tasks:
            task.cancel()
        await self.wait()

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a background task of the %s failed", self._owner, exc_info=error)
        self._on_done()
