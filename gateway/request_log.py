"""Keeps the last requests: for which model, with whose key, how long each phase took, and how they ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.asgi.middleware import QUIET, header
from contract.request_log import LoggedRequest
from gateway.captured_bodies import BodyCapture, BodyPieces, CapturedBodies
from gateway.seen_request import SeenRequest

KEPT = 1000
"""Requests that are listed."""
PULSE = 15.0
"""Seconds after which a stream of changes shows a sign of life."""
_TOGETHER = 0.1
"""Seconds for which changes are collected, so that a thousand requests a second cost a reader little."""
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class RequestLog:
    """The last requests, in memory. Used from the event loop only."""

    def __init__(self, capture: BodyCapture | None = None) -> None:
        self.capture = capture or BodyCapture()
        self._keeping: dict[int, asyncio.Task[None]] = {}  # whose bodies are being described, by number
        self.seq = 0
        self._count = 0
        self._requests: dict[int, SeenRequest] = {}  # by number, in order of arrival
        self._changed = asyncio.Event()

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """An app whose requests are kept. `RequestMiddleware` must be around it."""

        async def logged(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in QUIET:
                await app(scope, receive, send)
            else:
                await self._run(app, scope, receive, send)

        return logged

    def listed(self, *, before: int | None = None) -> Iterator[LoggedRequest]:
        """Yield the requests, the newest first; with `before`, those of a lower number. To be read without awaiting."""
        requests = reversed(self._requests.values())
        return (request.as_logged() for request in requests if before is None or request.number < before)

    async def since(self, seq: int) -> AsyncIterator[LoggedRequest | None]:
        """Yield each request that changed after `seq`, and then as they change; None for a sign of life."""
        while True:
            if self._changed.is_set():
                self._changed = asyncio.Event()
            changed = self._changed
            news = [request.as_logged() for request in self._requests.values() if request.seq > seq]
            for request in sorted(news, key=lambda request: request.seq):
                seq = request.seq
                yield request
            try:
                async with asyncio.timeout(PULSE):
                    await changed.wait()
            except TimeoutError:
                yield None
            else:
                await asyncio.sleep(_TOGETHER)

    async def _run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._count += 1
        request, is_read = SeenRequest(self._count, scope), scope["method"] in _READS
        if not is_read:
            self._put(request)

        async def seeing(message: Message) -> None:
            request.see(message)
            await send(message)

        failure: Exception | None = None
        try:
            if self.capture.count > 0 and not is_read:
                await self._capturing(request, app, scope, receive, seeing)
            else:
                await app(scope, receive, seeing)
        except Exception as error:
            failure = error
            raise
        finally:
            request.end(scope, failure)
            if not is_read or request.model or request.status >= 500:
                self._put(request)

    async def _capturing(self, request: SeenRequest, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, and keep the body that it reads and the one that it sends."""
        sent, answered = BodyPieces(), BodyPieces()

        async def seeing(message: Message) -> None:
            self.capture.take(answered, message.get("body", b""))
            await send(message)

        async def reading() -> Message:
            message = await receive()
            self.capture.take(sent, message.get("body", b""))
            return message

        try:
            await app(scope, reading, seeing)
        finally:
            types = (header(scope, b"content-type") or "", request.content_type.decode("latin-1"))
            self._keep(request.number, (sent, types[0]), (answered, types[1]))

    def found(self, id_: str) -> LoggedRequest | None:
        """The newest request with an id."""
        return next((request for request in self.listed() if request.id == id_), None)

    async def bodies(self, number: int) -> CapturedBodies | None:
        """The bodies of a request and its answer, once they are described; None if they are not kept."""
        if task := self._keeping.get(number):
            await asyncio.wait({task})
        return self.capture.of(number)

    def _keep(self, number: int, sent: tuple[BodyPieces, str], answer: tuple[BodyPieces, str]) -> None:
        task = asyncio.get_running_loop().create_task(self.capture.keep(number, sent, answer))
        self._keeping[number] = task
        task.add_done_callback(lambda _: self._keeping.pop(number, None))

    def _put(self, request: SeenRequest) -> None:
        self.seq += 1
        request.seq = self.seq
        self._requests[request.number] = request
        while len(self._requests) > KEPT:
            del self._requests[next(iter(self._requests))]
        self._changed.set()
