"""Notices that the manager has fallen silent, and ends the calls that would wait for it without end.

A manager that is stopped (SIGSTOP) or blocked, or whose machine has vanished, closes no connection. A long answer may
be silent too, so the silence of one connection says nothing. While calls are in progress, the gateway therefore asks
the manager for a sign of life on a connection of its own: a manager that runs answers at once, since its event loop
never waits for a model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Protocol, TypeVar

from contract.asgi.relay import UpstreamError

_LONGEST_INTERVAL = 5.0

LAG = 0.5
"""Seconds by which the gateway's own event loop may be late; if it is later, a missing answer says nothing."""


class Closable(Protocol):
    """A response, or another connection to the manager."""

    def close(self) -> None:
        """Close the connection at once."""


ResponseT = TypeVar("ResponseT", bound=Closable)


class ManagerSilent(UpstreamError):
    """The manager gives no sign of life."""


class ManagerPulse:
    """The calls in progress, and whether the manager is silent: it has given no sign of life for `limit` seconds."""

    def __init__(self, limit: float) -> None:
        self.is_silent = False
        self.interval = min(_LONGEST_INTERVAL, limit / 3)
        self._limit = limit
        self._silence = 0.0
        self._waiting: set[asyncio.Task[object]] = set()
        self._cut: set[asyncio.Task[object]] = set()
        self._responses: set[Closable] = set()

    async def watch(self, answers: Callable[[], Awaitable[bool]]) -> None:
        """Ask for signs of life for ever. `answers` says whether there is one, within `interval`."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(self.interval)
            if self.is_silent or self._waiting or self._responses:
                asked = time.monotonic()
                alive = await answers()
                ended = time.monotonic()
                is_late = max(asked - began, ended - asked) > self.interval + LAG
                self._record(alive, 0 if is_late else ended - began)

    @asynccontextmanager
    async def response(self, opening: AbstractAsyncContextManager[ResponseT]) -> AsyncIterator[ResponseT]:
        """Open a response and close it at the end of the block, or once the manager is silent: reading it then fails.

        Raises UpstreamError if the manager is silent before the head arrives.
        """
        async with AsyncExitStack() as stack:
            with self.waiting():
                response = await stack.enter_async_context(opening)
            self._responses.add(response)
            stack.callback(self._responses.discard, response)
            yield response

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Raise UpstreamError in the block once the manager is silent, or at once if it is already."""
        if self.is_silent:
            raise self.error()
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._cut or task.uncancel() > 0:
                raise
            raise self.error() from None
        finally:
            self._waiting.discard(task)
            self._cut.discard(task)

    def error(self) -> ManagerSilent:
        """What the calls that it has ended raise."""
        return ManagerSilent(f"no sign of life for {self._limit:g} s", began=False)

    def _record(self, alive: bool, seconds: float) -> None:
        if alive:
            self.is_silent, self._silence = False, 0.0
            return
        self._silence += seconds
        if self._silence >= self._limit:
            self.is_silent = True
            self._end_calls()

    def _end_calls(self) -> None:
        for task in self._waiting - self._cut:
            self._cut.add(task)
            task.cancel()
        for response in list(self._responses):
            response.close()
