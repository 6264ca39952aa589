"""The last requests of clients: a list that can be filtered, and their changes as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice
from typing import Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from contract.asgi.event_streams import event_stream
from contract.errors import InvalidField, NotFound
from contract.lazy_model import LazyModel
from contract.request_log import CapturedRequest, LoggedRequest, LoggedRequests
from contract.server_events import server_event
from contract.validation import invalid_request
from gateway.access.keys import require_admin
from gateway.request_log import KEPT, RequestLog
from gateway.routes.models import path_parameter, query_parameter

_FILTER = {
    "parameters": [
        query_parameter("limit", "integer", "how many at most", 100, default=100, minimum=1, maximum=KEPT),
        query_parameter("before", "integer", "only those of a lower `number`, for the next page", 1200, minimum=1),
        query_parameter("model", "string", "only those of a model, by its id", "ocr"),
        query_parameter("key", "string", "only those of a key, by its name", "my-app"),
        query_parameter("outcome", "string", "only those that are `ok`, `failed` or `running`", "failed"),
        query_parameter("search", "string", "only those with this text in id, path, model, key or error", "503"),
    ]
}
_SINCE = {
    "parameters": [
        query_parameter(
            "since", "integer", "what changed after this `seq` comes first; without it, only new ones", 1200, minimum=0
        )
    ]
}


class RequestFilter(LazyModel):
    """Which requests are listed: those of a model, of a key by its name, that ended so, or that contain a text."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=KEPT)
    before: int | None = Field(None, ge=0)
    model: str | None = None
    key: str | None = None
    outcome: Literal["ok", "failed", "running"] | None = None
    search: str = Field("", max_length=200)

    def admits(self, request: LoggedRequest) -> bool:
        """Whether a request is to be listed."""
        if (self.model and request.model != self.model) or (self.key and request.key != self.key):
            return False
        if self.outcome and self.outcome != outcome_of(request):
            return False
        texts = (request.id, request.path, request.model, request.key, request.error, str(request.status or ""))
        needle = self.search.casefold()
        return not needle or any(needle in text.casefold() for text in texts if text)


def outcome_of(request: LoggedRequest) -> str:
    """`running`, `ok` or `failed`."""
    if request.status is None:
        return "running"
    return "failed" if request.error or request.status >= 400 else "ok"


def router(log: RequestLog) -> APIRouter:
    """The routes, which need the scope `admin`."""
    routes = APIRouter(tags=["system"])

    async def requests(request: Request) -> Response:
        """The last requests, the newest first: the time of each phase, model, key's name, status and error.

        What web pages and programs read of the server itself is not listed. Needs the scope `admin`.
        """
        require_admin(request.scope.get("principal"))
        wanted = _filter(request)
        found = (entry for entry in log.listed(before=wanted.before) if wanted.admits(entry))
        page = LoggedRequests(seq=log.seq, kept=KEPT, requests=list(islice(found, wanted.limit)))
        return Response(page.model_dump_json(), media_type="application/json")

    async def events(request: Request) -> Response:
        """Each request when it begins and when it has ended, as server-sent events. Needs the scope `admin`.

        An event's id is its `seq`; with `?since=SEQ` or `Last-Event-ID`, what changed after it comes first.
        """
        require_admin(request.scope.get("principal"))
        since = request.headers.get("last-event-id") or request.query_params.get("since", str(log.seq))
        if not (since.isascii() and since.isdecimal() and len(since) < 20):
            raise InvalidField("`since` must be the `seq` of a request; leave it out for new ones.", param="since")
        request.scope["endless"] = True
        # After a restart the numbers begin again: a client that knows a higher one gets all.
        seq = int(since) if int(since) <= log.seq else 0
        return event_stream(_lines(log, seq))

    routes.get("/v1/system/requests", summary="The last requests", response_model=None, openapi_extra=_FILTER)(requests)
    routes.get(
        "/v1/system/requests/events", summary="Requests, as a stream", response_model=None, openapi_extra=_SINCE
    )(events)
    _add_bodies(routes, log)
    return routes


def _add_bodies(routes: APIRouter, log: RequestLog) -> None:
    async def captured(request: Request) -> Response:
        """A request and, if `gateway.capture_requests` is set, what was sent and answered. Needs the scope `admin`.

        Images are thumbnails; of each body, `gateway.capture_body_kb` of text are kept.
        """
        require_admin(request.scope.get("principal"))
        found = log.found(request.path_params["id"])
        if found is None:
            raise NotFound(f"The request {request.path_params['id'][:100]!r} is not among the last {KEPT}.")
        bodies = await log.bodies(found.number)
        sent, answer = bodies or (None, None)
        page = CapturedRequest(request=found, captured=bodies is not None, sent=sent, answer=answer)
        return Response(page.model_dump_json(), media_type="application/json")

    by_id = path_parameter("id", "4b3c0d")
    path = "/v1/system/requests/{id:path}"
    routes.get(path, summary="A request with its bodies", response_model=None, openapi_extra=by_id)(captured)


async def _lines(log: RequestLog, seq: int) -> AsyncIterator[bytes]:
    yield b": watching\n\n"
    async for request in log.since(seq):
        event = request and server_event(request.model_dump_json().encode(), id_=request.seq)
        yield event or b": still here\n\n"


def _filter(request: Request) -> RequestFilter:
    try:
        return RequestFilter.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise invalid_request(error) from None
