"""Bounds the memory that the bodies of all requests in progress take together."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from prometheus_client import Counter, Gauge
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.asgi.metrics import REGISTRY
from contract.errors import BodyMemoryFull

SMALL = 64 * 1024
"""Bytes that every request may hold without being counted: large bodies never keep small requests out."""
_RETRY_AFTER = 5

HELD = Gauge("request_bodies_bytes", "Memory that the bodies of requests in progress take", registry=REGISTRY)
REFUSED = Counter(
    "request_bodies_refused_total", "Requests refused because of `gateway.max_bodies_mb`", registry=REGISTRY
)

log = logging.getLogger(__name__)


class BodyBudget:
    """The memory of all bodies: at most `limit` bytes, of which `held` are taken."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    @contextmanager
    def request(self, limit: int | None = None) -> Iterator[None]:
        """Counts the bytes that one request holds in the block, and frees them at its end.

        A smaller `limit` leaves room for requests without it.
        """
        request = _HeldBody(self, self.limit if limit is None else limit)
        token = _current.set(request)
        try:
            yield
        finally:
            _current.reset(token)
            request.close()

    def add(self, count: int, limit: int) -> None:
        """Count more bytes, or fewer. Raises BodyMemoryFull."""
        if count > 0 and self.held + count > limit:
            REFUSED.inc()
            log.warning("a request is refused: the bodies of others take %.0f MiB", self.held / 2**20)
            message = f"The bodies of the requests in progress take {self.held / 2**20:.0f} MiB of memory, and at most"
            message = f"{message} {limit / 2**20:g} MiB are allowed. Send the request again later, or raise"
            details = {"limit": limit}
            raise BodyMemoryFull(f"{message} gateway.max_bodies_mb.", details=details, retry_after=_RETRY_AFTER)
        self.held += count
        HELD.set(self.held)


class BodyMemory:
    """Middleware that counts the bodies of requests. `hold` counts the bytes of a request, and its end frees them."""

    def __init__(self, app: ASGIApp, budget: BodyBudget) -> None:
        self._app = app
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._budget.request():
            await self._app(scope, receive, send)


class _HeldBody:
    """What one request holds."""

    def __init__(self, budget: BodyBudget, limit: int) -> None:
        self._budget, self._limit = budget, limit
        self._size = self._counted = 0
        self._is_over = False

    def add(self, count: int) -> None:
        self._size += count
        counted = self._size if self._size > SMALL else 0
        if not self._is_over:  # a task that the request has started may outlive it
            self._budget.add(counted - self._counted, self._limit)
            self._counted = counted

    def close(self) -> None:
        self._budget.add(-self._counted, self._limit)
        self._is_over = True


_current: ContextVar[_HeldBody | None] = ContextVar("held_body", default=None)


def hold(count: int) -> None:
    """Count bytes that the present request holds until its end; fewer, if negative. Raises BodyMemoryFull.

    Has no effect outside of a BodyBudget's request.
    """
    if request := _current.get():
        request.add(count)
