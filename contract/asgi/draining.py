"""Requests in progress, and how a program that stops lets them end: within a bound, and never without an answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import ShuttingDown

ALWAYS_ANSWERED = frozenset({"/health", "/healthz", "/v1/health", "/metrics"})
"""Paths that say how the program is, also while it stops."""

POLL_INTERVAL = 0.2
"""Seconds between two checks whether a second signal has ended the wait."""

CUT_TIMEOUT = 2.0
"""Seconds that requests may take to send their error once they have been cut short."""


class RequestsInProgress:
    """The requests of one program. A request that never ends sets `endless` in its scope: it is not waited for.

    A signal handler calls `on_exit` when the program is asked to stop.
    """

    def __init__(self, on_exit: Callable[[], object] = lambda: None) -> None:
        self.on_exit = on_exit
        self._scopes: dict[asyncio.Task[object], Scope] = {}
        self._cut: set[asyncio.Task[object]] = set()
        self._draining = False

    @contextmanager
    def track(self, scope: Scope) -> Iterator[None]:
        """Count the current task's request. Raises ShuttingDown if the program stops."""
        if self._draining and scope["path"] not in ALWAYS_ANSWERED:
            raise shutting_down()
        task = asyncio.current_task()
        assert task is not None
        self._scopes[task] = scope
        try:
            yield
        finally:
            del self._scopes[task]

    def was_cut(self) -> bool:
        """Whether the current task was cancelled because the program stops; if so, it may go on to send its error."""
        task = asyncio.current_task()
        if task not in self._cut:
            return False
        self._cut.discard(task)
        return task.uncancel() == 0

    async def drain(self, seconds: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Refuse new requests, and cut short those that are in progress after `seconds`, or once `hurry` is true."""
        self._draining = True
        self._cut_short(endless_only=True)
        await self._wait(seconds, hurry)
        self._cut_short(endless_only=False)
        await self._wait(CUT_TIMEOUT, hurry)

    async def _wait(self, seconds: float, hurry: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while self._scopes and not hurry() and (left := deadline - time.monotonic()) > 0:
            await asyncio.wait(list(self._scopes), timeout=min(POLL_INTERVAL, left))

    def _cut_short(self, *, endless_only: bool) -> None:
        for task, scope in self._scopes.items():
            if scope.get("endless") or not endless_only:
                self._cut.add(task)
                task.cancel()


class DrainMiddleware:
    """Counts the app's requests in `requests`. Raises ShuttingDown for those that it refuses or cuts short."""

    def __init__(self, app: ASGIApp, requests: RequestsInProgress) -> None:
        self.app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            with self._requests.track(scope):
                await self.app(scope, receive, send)
        except asyncio.CancelledError:
            if self._requests.was_cut():
                raise shutting_down() from None
            raise


def shutting_down() -> ShuttingDown:
    """The error of requests that the shutdown refuses or cuts short."""
    return ShuttingDown("Enginehouse is shutting down. Send the request again in a moment.", retry_after=5)
