"""The log of requests: phases, keys by name, errors in every form, and its bounds."""

from __future__ import annotations

import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from contract.asgi.middleware import RequestMiddleware
from contract.errors import QueueFull
from contract.request_log import LoggedRequest
from gateway.access.keys import Principal
from gateway.request_log import KEPT, RequestLog


class Server:
    """An app that answers as a test says, behind the log."""

    def __init__(self, *messages: Message, error: Exception | None = None, **set_in_scope: Any) -> None:
        self.log = RequestLog()
        self.sent: list[Message] = []
        self._messages, self._error, self._set = messages, error, set_in_scope
        self._app = RequestMiddleware(self.log.middleware(self._answer))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.update(self._set)
        for message in self._messages:
            await send(dict(message))
        if self._error:
            raise self._error

    async def request(self, method: str = "POST", path: str = "/v1/chat/completions") -> LoggedRequest | None:
        """Send a request, and return the last one that the log keeps."""
        await self.serve(method, path)
        return next(self.log.listed(), None)

    async def serve(self, method: str, path: str) -> None:
        async def send(message: Message) -> None:
            self.sent.append(message)

        async def receive() -> Message:
            raise AssertionError("the app reads no body")

        scope = {"type": "http", "method": method, "path": path, "headers": [], "client": ("192.0.2.7", 9)}
        await self._app(scope, receive, send)


def head(status: int, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def test_keeps_phases_model_and_the_name_of_the_key() -> None:
    timing = (b"server-timing", b"queue;dur=1500, load;dur=2.5, infer;dur=30")
    server = Server(head(200, timing), body(b"{}"), model="ocr", principal=Principal("my-app"))
    request = await server.request()
    assert request is not None
    assert (request.status, request.model, request.key, request.error) == (200, "ocr", "my-app", None)
    assert request.phases == {"queue": 1.5, "load": 0.0025, "infer": 0.03}
    assert (request.client, request.bytes_sent, request.stream) == ("192.0.2.7", 2, False)
    assert request.seconds is not None


async def test_errors_have_their_code() -> None:
    for messages, code in (
        ([head(503), body(json.dumps({"error": {"code": "queue_full"}}).encode())], "queue_full"),
        ([head(400), body(b'{"type": "error", "error": {"type": "invalid_request_error"}}')], "invalid_request_error"),
        ([head(404), body(b'{"error": "model not found"}')], "unknown"),
        ([head(500), body(b"[" * 100_000)], "unknown"),
    ):
        request = await Server(*messages).request()
        assert request is not None
        assert request.error == code
    request = await Server(error=QueueFull("full")).request()
    assert request is not None
    assert (request.status, request.error) == (503, "queue_full")


async def test_a_stream_that_breaks_off_has_its_error() -> None:
    events = head(200, (b"content-type", b"text/event-stream"))
    last = b'data: {"error": {"code": "worker_died"}}\n\n'
    request = await Server(events, body(b"data: {}\n\n", more=True), body(last)).request()
    assert request is not None
    assert (request.status, request.stream, request.error) == (200, True, "worker_died")
    request = await Server(events, body(b"data: {}\n\n", more=True)).request()
    assert request is not None
    assert request.error == "client_disconnected"


async def test_reads_of_the_server_itself_are_not_kept() -> None:
    server = Server(head(200), body(b"{}"))
    for method, path in (("GET", "/v1/system/status"), ("POST", "/waits"), ("GET", "/ui"), ("OPTIONS", "/v1/models")):
        assert await server.request(method, path) is None
    assert await Server(head(200), body(b""), model="external").request("GET", "/upstream/external/slots")


async def test_keeps_a_bounded_number_of_short_records() -> None:
    server = Server(head(200), body(b"{}"), model="m" * 5000)
    path = "/" + "x" * 5000
    for _ in range(KEPT + 4):
        await server.serve("POST", path)
    last = await server.request(path=path)
    requests = list(server.log.listed())
    assert (len(requests), requests[-1].number) == (KEPT, 6)
    assert last is not None
    assert len(last.path) + len(last.model or "") < 500
    assert [request.number for request in server.log.listed(before=8)] == [7, 6]


async def test_changes_are_told_once_and_in_order() -> None:
    server = Server(head(200), body(b"{}"))
    await server.request()
    changes = server.log.since(0)
    first = await anext(changes)
    assert first is not None
    assert (first.number, first.status, first.seq) == (1, 200, 2)
    await server.request()
    second = await anext(changes)
    assert second is not None
    assert (second.number, second.seq) == (2, 4)
    await changes.aclose()  # type: ignore[attr-defined]
