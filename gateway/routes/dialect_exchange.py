"""One request in a dialect: runs its queries side by side, and sends the translated answer, whole or as a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.types import Scope, Send

from contract.errors import EngineFailed, ServeError
from contract.media import field_path, image_at
from contract.validation import invalid_request
from gateway.access.keys import require_admin
from gateway.dialects.dialect import (
    ActedAnswer,
    DialectRequest,
    DialectResponse,
    DialectRoute,
    IdentifiedResponse,
    TaskAnswer,
    TaskQuery,
    TimedResponse,
)
from gateway.forwarding.bulk import Bulk, bulk_keys
from gateway.forwarding.captured_response import CapturedResponse
from gateway.forwarding.client_headers import requested_keep_alive, requested_wait
from gateway.forwarding.model_table import ModelTable
from gateway.forwarding.offload import offload
from gateway.forwarding.task_forwarder import TaskCall
from gateway.routes.durations import Durations
from gateway.routes.model_actions import perform
from gateway.routes.translated_stream import TranslatedStream
from gateway.services import Services

AT_ONCE = 16
"""How many queries of one request run at the same time; the others wait."""

_TIMING = b"server-timing"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Reply:
    """The answer to one query; without its large values it had `size` bytes. `timing` is its Server-Timing."""

    answer: TaskAnswer | ServeError
    size: int = 0
    timing: bytes | None = None


@dataclass(slots=True)
class DialectExchange:
    """One request in a dialect, until its answer is sent."""

    route: DialectRoute
    request: BaseModel
    scope: Scope
    services: Services
    size: int
    """Of the client's body, in bytes."""
    warnings: Sequence[str] = ()
    """Those of the queries."""
    durations: Durations = field(default_factory=Durations)

    async def answer(self, send: Send) -> None:
        """Run the request's queries, or do what it wants with a model, and send the answer. Raises ServeError."""
        max_wait = requested_wait(self.scope)
        if act := self.route.to_action:
            acted = await self.services.auto_add.choose(partial(act, self.request))
            if acted is not None:
                await self._act(acted, send)
                return
        queries = await self.services.auto_add.choose(partial(queries_of, self.route, self.request))
        self.warnings = [warning for query in queries for warning in query.warnings]
        if self.route.events and len(queries) == 1 and queries[0].request.wants_stream:
            await self._stream(queries[0], max_wait, send)
        else:
            await self._whole(queries, max_wait, send)

    async def _act(self, acted: ActedAnswer, send: Send) -> None:
        self.scope["model"] = acted.action.model
        if acted.action.kind != "load":
            require_admin(self.scope.get("principal"))
        await perform(self.services.manager, acted.action)
        self.durations.note_loaded()
        body = self._completed(acted.response(time.time()), self._own_warnings())
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _whole(self, queries: Sequence[TaskQuery], max_wait: float, send: Send) -> None:
        bulk, limit = Bulk(_bulk_keys(self.route)), asyncio.Semaphore(AT_ONCE)

        async def ask(query: TaskQuery) -> _Reply:
            async with limit:
                try:
                    return await self._ask(query, max_wait, bulk)
                except ServeError as error:
                    if not self.route.partial:
                        raise
                    return _Reply(error)

        replies = await _side_by_side([ask(query) for query in queries])
        self.durations.note_timing(replies[0].timing)
        size = sum(reply.size for reply in replies)
        pieces = bulk.put_back(await offload(size, self._translated, [reply.answer for reply in replies]))
        length = sum(map(len, pieces))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
        if len(replies) == 1 and (timing := replies[0].timing):
            headers.append((_TIMING, timing))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, piece in enumerate(pieces, 1):  # not joined: that would copy large values once more
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    async def _ask(self, query: TaskQuery, max_wait: float, bulk: Bulk) -> _Reply:
        call, response = self._call(query, max_wait), CapturedResponse(bulk)
        task = query.task
        try:
            await self.services.tasks.forward(call, response)
            body = response.body()
        except ServeError as error:
            raise self._in_clients_names(error, query) from None
        finally:
            self._note_model(call)
        table = await self.services.directory.table()
        try:
            parsed = await offload(len(body), task.response.model_validate_json, body)
        except ValidationError as error:  # of an external server
            raise EngineFailed(f"The server's answer cannot be read: {invalid_request(error).message}") from None
        return _Reply(TaskAnswer(parsed, table.get(call.model or "")), len(body), response.header(_TIMING))

    def _in_clients_names(self, error: ServeError, query: TaskQuery) -> ServeError:
        """The error with the client's names: an image has the place at which the client sent it."""
        path = field_path(image_at(error.param, query.request), self.request)
        if not path:
            return in_clients_names(error, {**self.route.fields, **query.fields})
        error.message = error.message.replace(f"`{error.param}`", f"`{path}`")
        error.param = path
        return error

    def _call(self, query: TaskQuery, max_wait: float) -> TaskCall:
        if isinstance(self.request, DialectRequest) and self.request.keep_alive is not None:
            query.request.keep_alive = self.request.keep_alive
        keep_alive = requested_keep_alive(self.scope)
        return TaskCall(
            query.task,
            query.request,
            self.scope["request_id"],
            size=self.size,
            max_wait=max_wait,
            keep_alive=keep_alive,
            job_priority=self.scope.get("job_priority"),
        )

    def _note_model(self, call: TaskCall) -> None:
        """Put the model into the access log's line; several are separated by commas."""
        models = [name for name in (self.scope.get("model"), call.model) if name]
        self.scope["model"] = ",".join(dict.fromkeys(models)) or None

    def _translated(self, answers: Sequence[TaskAnswer | ServeError]) -> bytes:
        return self._completed(self.route.from_task(self.request, answers), self._warnings(answers))

    def _completed(self, response: BaseModel, warnings: list[str]) -> bytes:
        """The answer with what does not depend on its task."""
        if isinstance(response, DialectResponse):
            response.warnings = warnings or response.warnings
        if isinstance(response, TimedResponse):
            self.durations.fill(response)
        if isinstance(response, IdentifiedResponse):
            response.request_id = self.scope["request_id"]
        return response.model_dump_json(by_alias=True).encode()

    def _warnings(self, answers: Sequence[TaskAnswer | ServeError]) -> list[str]:
        theirs = [answer.response.warnings or [] for answer in answers if isinstance(answer, TaskAnswer)]
        return list(dict.fromkeys([*self._own_warnings(), *(warning for warnings in theirs for warning in warnings)]))

    def _own_warnings(self) -> list[str]:
        own = self.request.warnings() if isinstance(self.request, DialectRequest) else []
        return [*own, *self.warnings]

    async def _stream(self, query: TaskQuery, max_wait: float, send: Send) -> None:
        assert self.route.events is not None
        assert query.task.chunk is not None
        translator = self.route.events(self.request)
        request_id = self.scope["request_id"]
        stream = TranslatedStream(send, query.task.chunk, translator, self.route.framing, request_id)
        stream.warnings, stream.durations = self._own_warnings(), self.durations
        call = self._call(query, max_wait)
        try:
            await self.services.tasks.forward(call, stream)
            stream.check()
        except ServeError as error:
            self._in_clients_names(error, query)
            if not stream.began:
                raise
            await stream.fail(error)
        finally:
            self._note_model(call)


def queries_of(route: DialectRoute, request: BaseModel, table: ModelTable) -> Sequence[TaskQuery]:
    """The requests for tasks that a request needs. Raises ServeError."""
    try:
        return route.to_task(request, table)
    except ValidationError as error:
        raise in_clients_names(invalid_request(error), route.fields) from None
    except ServeError as error:
        raise in_clients_names(error, route.fields) from None


async def _side_by_side(queries: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order. The first failure is raised, and ends the others."""
    if len(queries) == 1:
        return [await queries[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(query) for query in queries]
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None
    return [task.result() for task in tasks]


def _bulk_keys(route: DialectRoute) -> frozenset[str]:
    keys: frozenset[str] = frozenset()
    for task in route.tasks:
        response: type[BaseModel] = task.response
        keys |= bulk_keys(response)
    return keys


def in_clients_names(error: ServeError, fields: Mapping[str, str]) -> ServeError:
    """The error with the client's names of a task's fields."""
    first, _, rest = (error.param or "").partition(".")
    if name := fields.get(first):
        error.message = error.message.replace(f"`{error.param}`", f"`{name}`").replace(f"`{first}`", f"`{name}`")
        error.param = f"{name}.{rest}".rstrip(".")
    return error
