"""Limits how many requests a key may send, with a sliding window for each key that has a rate limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.config import ConfigError
from contract.errors import TooManyRequests
from gateway.access.keys import Principal

LIMIT_HEADER = "x-ratelimit-limit-requests"
REMAINING_HEADER = "x-ratelimit-remaining-requests"


class SlidingWindow:
    """Allows `limit` requests per `seconds`, in constant memory.

    The method is the sliding window counter: the previous window's count has a weight that falls from 1 to 0 during
    the current window. This is nearly exact when requests arrive evenly.
    """

    __slots__ = ("_count", "_index", "_previous_count", "limit", "seconds")

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._index = 0
        self._count = 0
        self._previous_count = 0

    def wait(self, now: float) -> float:
        """Seconds until the next request is allowed; 0 if it is allowed now."""
        index, elapsed = divmod(now, self.seconds)
        if index != self._index:
            self._previous_count = self._count if index == self._index + 1 else 0
            self._count, self._index = 0, int(index)
        weight = 1 - elapsed / self.seconds
        room = self.limit - 1 - self._count
        if self._previous_count * weight <= room:
            return 0
        if room >= 0:
            return (weight - room / self._previous_count) * self.seconds
        # The current window alone is full: wait until it is the previous one and its weight has fallen enough.
        return (weight + 1 - (self.limit - 1) / self._count) * self.seconds

    def take(self) -> int:
        """Count one request; returns how many remain in the current window."""
        self._count += 1
        return max(0, self.limit - self._count - self._previous_count)


Windows = dict[tuple[str, str], list[SlidingWindow]]
"""By the name and the rate limit of a principal."""


class RateLimits:
    """Middleware that raises TooManyRequests when a principal exceeds its rate limit."""

    def __init__(
        self, app: ASGIApp, principals: Iterable[Principal], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.app = app
        self._clock = clock
        self._windows: Windows = {}
        self.replace(self.windows(principals))

    def windows(self, principals: Iterable[Principal]) -> Windows:
        """The windows of principals: those that there are for limits that did not change. Raises ConfigError."""
        limited = [(principal.name, principal.rate_limit) for principal in principals if principal.rate_limit]
        return {key: self._windows.get(key) or windows_of(*key) for key in limited}

    def replace(self, windows: Windows) -> None:
        """Count requests in these windows from now on."""
        self._windows = windows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get("principal")
        if (
            principal
            and principal.rate_limit
            and (windows := self._windows.get((principal.name, principal.rate_limit)))
        ):
            send = _with_limit_headers(send, *self._take(principal, windows))
        await self.app(scope, receive, send)

    def _take(self, principal: Principal, windows: list[SlidingWindow]) -> tuple[int, int]:
        """Count the request in every window; the remaining requests and the limit of the fullest one."""
        now = self._clock()
        wait = max(window.wait(now) for window in windows)
        if wait > 0:
            message = f"The rate limit of the key {principal.name} is {principal.rate_limit}."
            raise TooManyRequests(f"{message} Try again in {math.ceil(wait)} s.", retry_after=wait)
        return min((window.take(), window.limit) for window in windows)


def windows_of(name: str, rate_limit: str) -> list[SlidingWindow]:
    """The windows of a key's limit, such as `10/second; 100/hour`. Raises ConfigError."""
    from limits import parse_many

    try:
        windows = [SlidingWindow(item.amount, item.get_expiry()) for item in parse_many(rate_limit)]
    except ValueError:
        windows = []
    if not windows or not all(window.limit for window in windows):
        raise ConfigError(f"security.api_keys: the rate_limit of {name} is not valid; write one such as 60/minute")
    return windows


def _with_limit_headers(send: Send, remaining: int, limit: int) -> Send:
    async def send_with_limits(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers[LIMIT_HEADER] = str(limit)
            headers[REMAINING_HEADER] = str(remaining)
        await send(message)

    return send_with_limits
