"""The worker's HTTP: one POST per task that its entry serves, at the gateway's own paths, for its manager alone."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from contract.arrays import holds_arrays
from contract.asgi import body
from contract.asgi.errors import send_error
from contract.asgi.middleware import header
from contract.config import ModelSpec
from contract.errors import BadImage, MethodNotAllowed, NotFound, ServeError, Unauthorized, UnsupportedTask
from contract.media import field_path
from contract.tasks import all_tasks
from workers import content_negotiation, defaults
from workers.batcher import Batcher, Ticket
from workers.engine import Call, Engine, Output, ServedTask
from workers.interviewer import Interviewer
from workers.served_tasks import served_by, tasks_of

_MAX_BODY = 1 << 30
"""The gateway has applied the house's limit; this one only guards against nonsense."""
_BIG_BODY = 256 * 1024
"""A larger body is decoded on another thread, so that nobody else's answer waits for it."""

_EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


@dataclass(frozen=True, slots=True)
class Route:
    """A task as this worker does it."""

    serves: ServedTask
    defaults: dict[str, Any]


class App:
    """Plain ASGI: the way of a small request is short, since the engine's thread shares its interpreter lock."""

    def __init__(self, engine: Engine, spec: ModelSpec, batcher: Batcher, token: str, stop: Callable[[], None]) -> None:
        self._batcher = batcher
        self._interviewer = Interviewer(batcher, spec.id, spec.defaults)
        self._authorization = f"Bearer {token}".encode()
        self._stop = stop
        served, tasks = served_by(type(engine)), all_tasks()
        self._tasks = {
            tasks[name].path: Route(served[name], defaults.for_task(tasks[name], spec.defaults))
            for name in tasks_of(spec, type(engine))
        }
        self._paths = {task.path for task in tasks.values()}
        self._id = spec.id

    def keep_to(self, tasks: Collection[str]) -> None:
        """Drop the tasks that the loaded model turned out not to do."""
        self._tasks = {path: served for path, served in self._tasks.items() if served.serves.task.name in tasks}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await self._answer(scope, receive, send)
        except body.ClientDisconnected:
            pass  # nobody is there to be told
        except ServeError as error:
            await send_error(send, error, scope.get("request_id"))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/healthz":
            return await _send_json(send, b'{"status":"healthy"}')
        if not hmac.compare_digest((header(scope, b"authorization") or "").encode(), self._authorization):
            raise Unauthorized("A worker answers its own manager only; ask the gateway.")
        if path not in self._tasks and path != "/shutdown":
            kind = UnsupportedTask if path in self._paths else NotFound
            raise kind(f"The model {self._id} does not serve {path}; it serves {', '.join(self._tasks) or 'nothing'}.")
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{path} takes POST, not {scope['method']}.")
        if path == "/shutdown":
            self._stop()
            return await _send_json(send, b'{"status":"stopping"}')
        return await self._run(self._tasks[path], scope, receive, send)

    async def _run(self, served: Route, scope: Scope, receive: Receive, send: Send) -> None:
        task = served.serves.task
        content_type = header(scope, b"content-type") or ""
        content = await body.read_body(scope, receive, _MAX_BODY)
        if len(content) > _BIG_BODY:
            request = await asyncio.to_thread(task.decode, content_type, content)
        else:
            request = task.decode(content_type, content)
        del content
        defaults.fill(request, served.defaults)
        call = Call(request, scope.get("request_id", ""), alone=_attempt(scope) > 1)
        try:
            async with body.cancel_on_disconnect(receive):
                started = time.perf_counter()
                if task.chunk and request.wants_stream:
                    await _stream(self._batcher.submit(served.serves, call), send, started)
                else:
                    answer = await self._whole(served.serves, call)
                    await _send_whole(answer, send, content_negotiation.wanted(header(scope, b"accept")), started)
        except BadImage as error:
            error.param = error.param or field_path(error.image, request)
            raise
        finally:
            call.cancel()  # when it has been answered, that changes nothing any more

    async def _whole(self, serves: ServedTask, call: Call[Any]) -> BaseModel:
        if serves.via_chat:
            return await self._interviewer.answer(serves, call)
        return await self._batcher.submit(serves, call).whole()


def _attempt(scope: Scope) -> int:
    value = header(scope, b"x-enginehouse-attempt") or "1"
    return int(value) if value.isdigit() else 1


def _timing(started: float) -> tuple[bytes, bytes]:
    return b"server-timing", b"infer;dur=%.2f" % ((time.perf_counter() - started) * 1e3)


async def _send(send: Send, content: bytes, *headers: tuple[bytes, bytes]) -> None:
    head = [*headers, (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": content})


async def _send_json(send: Send, content: bytes) -> None:
    await _send(send, content, (b"content-type", b"application/json"))


async def _send_whole(answer: BaseModel, send: Send, form: content_negotiation.ResponseWriter, started: float) -> None:
    """Send one answer in the form that the client wants."""
    timing = _timing(started)
    # Arrays are written beside the loop: base64 and PNG of megabytes take their time.
    headers, content = await asyncio.to_thread(form, answer) if holds_arrays(type(answer)) else form(answer)
    await _send(send, content, *headers, timing)


def _unless_error(answer: Output) -> BaseModel | None:
    if isinstance(answer, ServeError):
        raise answer
    return answer


async def _stream(ticket: Ticket, send: Send, started: float) -> None:
    """Send server-sent events, each as soon as it is there. An error before the first one has its own status."""
    answers = await ticket.next()
    _unless_error(answers[0])
    await send({"type": "http.response.start", "status": 200, "headers": [*_EVENT_STREAM, _timing(started)]})
    while True:
        events, ended = _events(ticket, answers)
        if events:
            await send({"type": "http.response.body", "body": events, "more_body": True})
        if ended:
            break
        answers = await ticket.next()
    await send({"type": "http.response.body", "body": b""})


def _events(ticket: Ticket, answers: list[Output]) -> tuple[bytes, bool]:
    """The answers as one piece of the stream, and whether it is the last. After an error there is no [DONE]."""
    wants_chunk = ticket.serves.task.wants_chunk
    events = bytearray()
    for answer in answers:
        if answer is None:
            return bytes(events + b"data: [DONE]\n\n"), True
        if isinstance(answer, ServeError):
            return bytes(events + b"data: " + answer.body(ticket.call.id) + b"\n\n"), True
        if wants_chunk is None or wants_chunk(ticket.call.request, answer):
            events += b"data: " + answer.model_dump_json().encode() + b"\n\n"
    return bytes(events), False
