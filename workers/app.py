"""The worker's HTTP API, for its manager only: a POST route per task that its entry serves, at the gateway's paths."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from contract.arrays import holds_arrays
from contract.asgi import body
from contract.asgi.errors import send_error
from contract.asgi.event_streams import HEAD
from contract.asgi.middleware import header
from contract.config import ModelSpec
from contract.errors import BadImage, MethodNotAllowed, NotFound, ServeError, Unauthorized, UnsupportedTask
from contract.media import field_path, images_in
from contract.server_events import server_event
from contract.tasks import EncodedResponse, Request, Response, Task, all_tasks
from workers import content_negotiation, defaults, presets
from workers.batchers import Batchers
from workers.engine import Call, Engine, Output, ServedTask
from workers.interviewer import Interviewer
from workers.served_tasks import served_by, tasks_of
from workers.tickets import Ticket

_MAX_BODY = 1 << 30
"""The gateway has already applied the configured limit; this one only guards against nonsense."""
_LARGE_BODY = 256 * 1024
"""Larger bodies are decoded on another thread, so that they do not delay other responses."""

_PRESET = b"x-enginehouse-preset"


class BrokenOff(Exception):
    """A file that was sent in part cannot be completed: the server aborts the connection, as its client must see."""


@dataclass(frozen=True, slots=True)
class Route:
    """A task at its path, with the defaults for it of the entry (None) and of each of its presets."""

    served: ServedTask
    defaults: dict[str | None, dict[str, Any]]


class App:
    """Plain ASGI without a framework: the engine's thread shares the interpreter lock, so every step here costs."""

    def __init__(
        self, engine: Engine, spec: ModelSpec, batchers: Batchers, token: str, stop: Callable[[], None]
    ) -> None:
        self._batchers = batchers
        self._interviewer = Interviewer(batchers.model, spec.id, spec.defaults)
        self._authorization = f"Bearer {token}".encode()
        self._stop = stop
        self._extra_fields, self._meter = engine.extra_fields, engine.meter
        served, tasks = served_by(type(engine)), all_tasks()
        self._routes = {
            tasks[name].path: Route(served[name], presets.defaults_by_name(spec, tasks[name]))
            for name in tasks_of(spec, type(engine))
        }
        self._task_paths = {task.path for task in tasks.values()}
        self._calls: dict[str, list[Call[Any]]] = {}  # in progress, by the request's id: several may share one
        self._model_id = spec.id
        self._presets = spec.presets

    def restrict_to(self, tasks: Collection[str]) -> None:
        """Drop the routes of tasks that the loaded model does not support."""
        self._routes = {path: route for path, route in self._routes.items() if route.served.task.name in tasks}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await self._respond(scope, receive, send)
        except body.ClientDisconnected:
            pass  # there is no one left to respond to
        except ServeError as error:
            await send_error(send, error, scope.get("request_id"))

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in {"/healthz", "/health"}:
            return await _send_json(send, b'{"status":"healthy"}')
        if not hmac.compare_digest((header(scope, b"authorization") or "").encode(), self._authorization):
            raise Unauthorized("A worker accepts requests from its manager only. Send yours to the gateway.")
        if path == "/progress" and scope["method"] == "GET":
            return await _send_json(send, progress_of(self._calls.get(scope["query_string"].decode("latin-1"), ())))
        if path not in self._routes and path != "/shutdown":
            error = UnsupportedTask if path in self._task_paths else NotFound
            served = ", ".join(self._routes) or "nothing"
            raise error(f"The model {self._model_id} does not serve {path}; it serves {served}.")
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"{path} takes POST, not {scope['method']}.")
        if path == "/shutdown":
            self._stop()
            return await _send_json(send, b'{"status":"stopping"}')
        return await self._run_task(self._routes[path], scope, receive, send)

    async def _run_task(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        task = route.served.task
        content_type = header(scope, b"content-type") or ""
        content = await body.read_body(scope, receive, _MAX_BODY)
        if len(content) > _LARGE_BODY:
            request = await asyncio.to_thread(task.decode, content_type, content)
        else:
            request = task.decode(content_type, content)
        del content  # it may be large, and the call may wait long
        preset = _preset(scope)
        presets.apply_system(request, self._presets.get(preset or ""))
        defaults.fill(request, route.defaults.get(preset, route.defaults[None]))
        warnings = request.warnings(self._extra_fields)
        call = Call(request, scope.get("request_id", ""), alone=_attempt(scope) > 1, warnings=warnings)
        self._calls.setdefault(call.id, []).append(call)
        try:
            async with body.cancel_on_disconnect(receive):
                started = time.perf_counter()
                if task.chunk and (request.wants_stream or request.wants_pieces):
                    await _stream(self._batchers.submit(route.served, call), send, started)
                else:
                    response = await self._whole_response(route.served, call)
                    if images := _images(task, request, response):
                        self._meter.see(images)
                    writer = content_negotiation.writer_for(header(scope, b"accept"))
                    await _send_response(response, send, writer, started)
        except BadImage as error:
            error.param = error.param or field_path(error.image, request)
            raise
        finally:
            call.cancel()  # has no effect on a call that is complete
            self._forget(call)

    def _forget(self, call: Call[Any]) -> None:
        self._calls[call.id].remove(call)
        if not self._calls[call.id]:
            del self._calls[call.id]

    async def _whole_response(self, served: ServedTask, call: Call[Any]) -> BaseModel:
        if served.via_chat:
            response: BaseModel = await self._interviewer.answer(served, call)
        else:
            response = await self._batchers.submit(served, call).whole()
        _see_images(call)
        _add_warnings(response, call)
        return response


def progress_of(calls: Iterable[Call[Any]]) -> bytes:
    """How far calls are together, in the engine's steps, as JSON; null if it does not say."""
    done, total = (sum(getattr(call, name) for call in calls) for name in ("done", "total"))
    return json.dumps({"done": done, "total": total} if total else None).encode()


def _images(task: Task[Any, Any], request: Request, response: BaseModel) -> int:
    """How many images a request has had drawn or, if it draws none, looked at."""
    if "image" in task.outputs:
        return len(getattr(response, "data", ()))
    return sum(1 for _ in images_in(request)) if "image" in task.inputs else 0


def _preset(scope: Scope) -> str | None:
    """The preset that the gateway names. HTTP clients encode headers as UTF-8, so a name may use any script."""
    name = header(scope, _PRESET)
    return None if name is None else name.encode("latin-1").decode(errors="replace")


def _attempt(scope: Scope) -> int:
    value = header(scope, b"x-enginehouse-attempt") or "1"
    return int(value) if value.isdigit() else 1


def _see_images(call: Call[Any]) -> None:
    """Add the warnings about the call's images, which are open when its first output is there."""
    said = (image.warning for image in images_in(call.request) if image.warning)
    call.warnings += [warning for warning in dict.fromkeys(said) if warning not in call.warnings]


def _add_warnings(output: BaseModel, call: Call[Any]) -> None:
    """Put the call's warnings so far into a response or chunk."""
    if call.warnings and isinstance(output, Response):
        count = len(call.warnings)  # the engine's thread may add more meanwhile
        output.warnings = [*(output.warnings or ()), *call.warnings[:count]]
        del call.warnings[:count]


def _server_timing(started: float) -> tuple[bytes, bytes]:
    return b"server-timing", b"infer;dur=%.2f" % ((time.perf_counter() - started) * 1e3)


async def _send(send: Send, content: bytes, *headers: tuple[bytes, bytes]) -> None:
    all_headers = [*headers, (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": all_headers})
    await send({"type": "http.response.body", "body": content})


async def _send_json(send: Send, content: bytes) -> None:
    await _send(send, content, (b"content-type", b"application/json"))


async def _send_response(
    response: BaseModel, send: Send, writer: content_negotiation.ResponseWriter, started: float
) -> None:
    """Send a whole response in the format that the client prefers."""
    timing = _server_timing(started)
    if isinstance(response, EncodedResponse):
        headers, content = content_negotiation.as_it_is(response)
    elif holds_arrays(type(response)):  # base64 and PNG of megabytes take long: keep them off the event loop
        headers, content = await asyncio.to_thread(writer, response)
    else:
        headers, content = writer(response)
    await _send(send, content, *headers, timing)


async def _stream(ticket: Ticket, send: Send, started: float) -> None:
    """Send server-sent events, or the pieces of a file, as they get ready. An error before the first sets the status.

    A later error is the last event of a stream; it breaks off a file, which is then known to be incomplete.
    """
    outputs = await ticket.next()
    first = outputs[0]
    if isinstance(first, ServeError):
        raise first
    _see_images(ticket.call)
    if isinstance(first, EncodedResponse):
        _add_warnings(first, ticket.call)
        headers, take = content_negotiation.as_it_is(first)[0], _pieces
    else:
        headers, take = [*HEAD], _events
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, _server_timing(started)]})
    while True:
        content, ended = take(ticket, outputs)
        if content:
            await send({"type": "http.response.body", "body": content, "more_body": True})
        if ended:
            break
        outputs = await ticket.next()
    await send({"type": "http.response.body", "body": b""})


def _pieces(ticket: Ticket, outputs: list[Output]) -> tuple[bytes, bool]:  # noqa: ARG001 - as `_events`
    """The outputs as one piece of a file, and whether it is the last. Raises BrokenOff for an error among them."""
    content = bytearray()
    for output in outputs:
        if isinstance(output, ServeError):
            raise BrokenOff(output.message)
        if output is None:
            return bytes(content), True
        assert isinstance(output, EncodedResponse), "a file has no events"
        content += output.content
    return bytes(content), False


def _events(ticket: Ticket, outputs: list[Output]) -> tuple[bytes, bool]:
    """The outputs as one piece of the stream, and whether it is the last. After an error there is no [DONE]."""
    wants_chunk = ticket.served.task.wants_chunk
    events = bytearray()
    for output in outputs:
        if output is None:
            return bytes(events + server_event(b"[DONE]")), True
        if isinstance(output, ServeError):
            return bytes(events + server_event(output.body(ticket.call.id))), True
        if wants_chunk is None or wants_chunk(ticket.call.request, output):
            _add_warnings(output, ticket.call)
            try:
                events += server_event(content_negotiation.to_json(output))
            except ServeError as error:
                return bytes(events + server_event(error.body(ticket.call.id))), True
    return bytes(events), False
