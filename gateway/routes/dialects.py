"""One public route for each path of a dialect: reads a request, runs its queries side by side, and sends the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, cancel_on_disconnect, read_body
from contract.asgi.middleware import header
from contract.config import GatewaySettings
from contract.errors import EngineFailed, ServeError
from contract.json_parser import parse_json
from contract.tasks import decode_body
from contract.validation import invalid_request
from gateway.dialects import all_dialects
from gateway.dialects.body_types import content_type_at
from gateway.dialects.dialect import (
    DialectRequest,
    DialectResponse,
    DialectRoute,
    IdentifiedResponse,
    TaskAnswer,
    TaskQuery,
    TimedResponse,
)
from gateway.dialects.error_forms import form_of_route
from gateway.forwarding.bulk import Bulk, bulk_keys
from gateway.forwarding.captured_response import CapturedResponse
from gateway.forwarding.client_headers import requested_keep_alive, requested_wait
from gateway.forwarding.model_table import ModelTable
from gateway.forwarding.offload import offload
from gateway.forwarding.task_forwarder import TaskCall, check_images, check_whole
from gateway.routes.durations import Durations
from gateway.routes.translated_stream import TranslatedStream
from gateway.services import Services

AT_ONCE = 16
"""How many queries of one request run at the same time; the others wait."""

_TIMING = b"server-timing"

T = TypeVar("T")

log = logging.getLogger(__name__)


class DialectEndpoint:
    """The ASGI app behind one path, which several dialects may share."""

    def __init__(self, routes: Sequence[DialectRoute], services: Services, settings: GatewaySettings) -> None:
        self._routes = routes
        self._forms = [form_of_route(route) for route in routes]
        self._services = services
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint_label"] = self._routes[0].path
        try:
            body = await read_body(scope, receive, self._services.body_limit)
            async with cancel_on_disconnect(receive):
                content_type = content_type_at(scope["endpoint_label"], header(scope, b"content-type") or "")
                route, request = await offload(len(body), self._decode, content_type, body, scope)
                size = len(body)
                del body  # `request` holds all of it that is needed
                await _Exchange(route, request, scope, self._services, size).answer(send)
        except ClientDisconnected:
            log.debug("the client of request %s disconnected", scope["request_id"])

    async def model_for(self, content_type: str, body: bytes) -> str:
        """The id of the model for a request that is to run as a job; of several, the first one's.

        Raises ServeError if it could not run.
        """
        route, request = await offload(len(body), self._decode, content_type, body)
        models = []
        for query in await self._services.auto_add.choose(partial(_queries, route, request)):
            check_whole(query.request)
            try:
                models.append(await self._services.tasks.model_for(query.task, query.request))
            except ServeError as error:
                raise in_clients_names(error, {**route.fields, **query.fields}) from None
        return next(iter(models), "")

    def _decode(self, content_type: str, body: bytes, scope: Scope | None = None) -> tuple[DialectRoute, BaseModel]:
        number = self._number_of_route(content_type, body)
        route = self._routes[number]
        if scope is not None and (form := self._forms[number]):
            scope["error_form"] = form  # of several dialects at a path, the body has decided which
        request = decode_body(route.request, route.path, content_type, body)
        request = self._with_defaults(route, request)
        check_images(request)
        if isinstance(request, DialectRequest):
            request.refuse()
        return route, request

    def _with_defaults(self, route: DialectRoute, request: BaseModel) -> BaseModel:
        """The request with the configured values of the fields that it left out."""
        missing = {field: name for field, name in route.defaults.items() if field not in request.model_fields_set}
        if not missing:
            return request
        return request.model_copy(update={field: getattr(self._settings, name) for field, name in missing.items()})

    def _number_of_route(self, content_type: str, body: bytes) -> int:
        """Of the route whose selector is a field of the body, which only one of JSON may have; else of the first."""
        if len(self._routes) == 1 or not content_type.lower().startswith("application/json"):
            return 0
        document = parse_json(body)
        fields = document.keys() if isinstance(document, dict) else ()
        return next((number for number, route in enumerate(self._routes) if route.selector in fields), 0)


@dataclass(frozen=True, slots=True)
class _Reply:
    """The answer to one query; without its large values it had `size` bytes. `timing` is its Server-Timing."""

    answer: TaskAnswer | ServeError
    size: int = 0
    timing: bytes | None = None


@dataclass(slots=True)
class _Exchange:
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
        """Run the request's queries and send the translated answer. Raises ServeError."""
        max_wait = requested_wait(self.scope)
        queries = await self.services.auto_add.choose(partial(_queries, self.route, self.request))
        self.warnings = [warning for query in queries for warning in query.warnings]
        if self.route.events and len(queries) == 1 and queries[0].request.wants_stream:
            await self._stream(queries[0], max_wait, send)
        else:
            await self._whole(queries, max_wait, send)

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
            raise in_clients_names(error, {**self.route.fields, **query.fields}) from None
        finally:
            self._note_model(call)
        table = await self.services.directory.table()
        try:
            parsed = await offload(len(body), task.response.model_validate_json, body)
        except ValidationError as error:  # of an external server
            raise EngineFailed(f"The server's answer cannot be read: {invalid_request(error).message}") from None
        return _Reply(TaskAnswer(parsed, table.get(call.model or "")), len(body), response.header(_TIMING))

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
        response = self.route.from_task(self.request, answers)
        if isinstance(response, DialectResponse):
            response.warnings = self._warnings(answers) or response.warnings
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
            in_clients_names(error, {**self.route.fields, **query.fields})
            if not stream.began:
                raise
            await stream.fail(error)
        finally:
            self._note_model(call)


def _queries(route: DialectRoute, request: BaseModel, table: ModelTable) -> Sequence[TaskQuery]:
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


def endpoints(services: Services, settings: GatewaySettings) -> dict[str, DialectEndpoint]:
    """An endpoint for every path of every dialect."""
    by_path: dict[str, list[DialectRoute]] = {}
    for dialect in all_dialects().values():
        for route in dialect.routes:
            by_path.setdefault(route.path, []).append(route)
    return {path: DialectEndpoint(routes, services, settings) for path, routes in by_path.items()}
