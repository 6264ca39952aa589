"""How much a key may ask: a sliding window of requests for every key that has a rate limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.config import ConfigError
from contract.errors import TooManyRequests
from gateway.access.auth import Principal


class Window:
    """Counts requests in a window that slides, in constant memory: the last window's count weighs less as time goes on.

    The method is the sliding window counter; its error is small where requests come evenly.
    """

    __slots__ = ("_before", "_count", "_index", "amount", "seconds")

    def __init__(self, amount: int, seconds: float) -> None:
        self.amount = amount
        self.seconds = seconds
        self._index = 0
        self._count = 0
        self._before = 0

    def wait(self, now: float) -> float:
        """Seconds until one more request fits; 0 when it fits now."""
        index, passed = divmod(now, self.seconds)
        if index != self._index:
            self._before = self._count if index == self._index + 1 else 0
            self._count, self._index = 0, int(index)
        weight = 1 - passed / self.seconds
        room = self.amount - 1 - self._count
        if self._before * weight <= room:
            return 0
        if room >= 0:
            return (weight - room / self._before) * self.seconds
        # This window is full by itself: it has to become the last one and fade.
        return (weight + 1 - (self.amount - 1) / self._count) * self.seconds

    def take(self) -> int:
        """Count one request and say how many are left in the present window."""
        self._count += 1
        return max(0, self.amount - self._count - self._before)


class RateLimits:
    """Middleware that holds each principal to its rate and raises TooManyRequests beyond it."""

    def __init__(
        self, app: ASGIApp, principals: Iterable[Principal], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.app = app
        self._clock = clock
        self._windows = {p.name: _windows(p.name, p.rate_limit) for p in principals if p.rate_limit}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get("principal")
        if principal and (windows := self._windows.get(principal.name)):
            send = _with_limit_headers(send, *self._take(principal, windows))
        await self.app(scope, receive, send)

    def _take(self, principal: Principal, windows: list[Window]) -> tuple[int, int]:
        now = self._clock()
        wait = max(window.wait(now) for window in windows)
        if wait > 0:
            message = f"The key {principal.name} may send {principal.rate_limit}. Try again in {math.ceil(wait)} s."
            raise TooManyRequests(message, retry_after=wait)
        return min((window.take(), window.amount) for window in windows)


def _windows(name: str, rate_limit: str) -> list[Window]:
    from limits import parse_many

    try:
        windows = [Window(item.amount, item.get_expiry()) for item in parse_many(rate_limit)]
    except ValueError:
        windows = []
    if not windows or not all(window.amount for window in windows):
        raise ConfigError(f"security.api_keys: the rate_limit of {name} must read like 60/minute")
    return windows


def _with_limit_headers(send: Send, left: int, amount: int) -> Send:
    async def send_with_limits(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers["x-ratelimit-limit-requests"] = str(amount)
            headers["x-ratelimit-remaining-requests"] = str(left)
        await send(message)

    return send_with_limits
