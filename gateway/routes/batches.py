"""OpenAI's batches: requests in a file that run later, and whose answers are in files."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract import durations
from contract.asgi.body import ClientDisconnected, read_body
from contract.errors import InvalidField
from contract.lazy_model import LazyModel
from contract.validation import invalid_request
from gateway.access.keys import owner_of, visible_to
from gateway.jobs.batch import StoredBatch
from gateway.jobs.batches import Batches
from gateway.jobs.engine import JobEngine
from gateway.jobs.files import Page
from gateway.routes.files import life, listing, page_size
from gateway.routes.models import path_parameter
from gateway.routes.passthrough import UnlessForwarded
from gateway.storage.storing import storing

_MAX_PAGE = 100
_MAX_BODY = 64 * 1024
_LONGEST_WINDOW = 30 * 86400
_MetadataValue = Annotated[str, Field(max_length=512)]


class OutputLife(LazyModel):
    """How long the output files of a batch stay."""

    model_config = ConfigDict(extra="forbid")

    anchor: Literal["created_at"] = "created_at"
    seconds: int = Field(ge=1)


class BatchRequest(LazyModel):
    """The body of a new batch."""

    model_config = ConfigDict(extra="forbid")

    input_file_id: str = Field(max_length=100)
    endpoint: str = Field(max_length=200)
    completion_window: str = Field(max_length=40)
    metadata: dict[Annotated[str, Field(max_length=64)], _MetadataValue] | None = Field(None, max_length=16)
    output_expires_after: OutputLife | None = None


@dataclass(frozen=True, slots=True)
class BatchRoutes:
    """The handlers; `endpoints` are the paths whose requests can be in a batch."""

    engine: JobEngine
    batches: Batches
    endpoints: Collection[str]

    async def create(self, request: Request) -> Response:
        """Run the requests of a file that was uploaded with the purpose `batch`, within `completion_window`."""
        try:
            body = await read_body(request.scope, request.receive, _MAX_BODY)
            wanted = BatchRequest.model_validate_json(body)
        except ClientDisconnected:
            return Response()
        except ValidationError as error:
            raise invalid_request(error) from None
        if wanted.endpoint not in self.endpoints:
            known = ", ".join(sorted(self.endpoints))
            raise InvalidField(f"`endpoint` must be a path whose requests can run later: {known}.", param="endpoint")
        keep = wanted.output_expires_after
        batch = StoredBatch(
            owner=owner_of(request.scope.get("principal")),
            endpoint=wanted.endpoint,
            input_file=wanted.input_file_id,
            completion_window=wanted.completion_window,
            metadata=None if wanted.metadata is None else json.dumps(wanted.metadata),
            keep_output=None if keep is None else life(keep.seconds, "output_expires_after.seconds"),
            expires=_window(wanted.completion_window),
            created=0.0,
        )
        await self.engine.store()
        with storing("Batches"):
            batch = await self.batches.rows.add(batch)
        self.batches.wake()
        return JSONResponse(batch_view(batch))

    async def list(self, request: Request) -> Response:
        """Your batches, newest first; `limit` and `after` page."""
        query = request.query_params
        limit = page_size(query.get("limit", "20"), _MAX_PAGE)
        if not self.engine.exists:
            return listing([], 0)
        await self.engine.store()
        with storing("Batches"):
            page = Page(visible_to(request.scope.get("principal")), limit + 1, query.get("after"))
            batches = await self.batches.rows.page(page)
        return listing([batch_view(batch) for batch in batches], limit)

    async def get(self, request: Request) -> Response:
        """A batch: its state, how many requests have ended, and the files with their answers."""
        await self.engine.store()
        with storing("Batches"):
            batch = await self.batches.rows.get(
                visible_to(request.scope.get("principal")), request.path_params["batch_id"]
            )
        return JSONResponse(batch_view(batch))

    async def cancel(self, request: Request) -> Response:
        """Cancel a batch. What has ended by then is in its files."""
        await self.engine.store()
        with storing("Batches"):
            batch = await self.batches.rows.cancel(
                visible_to(request.scope.get("principal")), request.path_params["batch_id"]
            )
        self.batches.wake()
        return JSONResponse(batch_view(batch))


def _window(text: str) -> float:
    """The seconds of a `completion_window`. Raises InvalidField."""
    try:
        seconds = durations.seconds(text)
    except ValueError as error:
        raise InvalidField(f"`completion_window` {error}.", param="completion_window") from None
    if not 0 < seconds <= _LONGEST_WINDOW:
        message = "`completion_window` must be a time of at most 30 days, such as 24h."
        raise InvalidField(message, param="completion_window")
    return seconds


def batch_view(batch: StoredBatch) -> dict[str, Any]:
    """A batch in OpenAI's form."""
    ended = {f"{state}_at": _time(batch.ended) if batch.state == state else None for state in _ENDS}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": batch.errors and {"object": "list", "data": json.loads(batch.errors)},
        "input_file_id": batch.input_file,
        "completion_window": batch.completion_window,
        "status": batch.state,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": _time(batch.created),
        "in_progress_at": _time(batch.in_progress),
        "expires_at": _time(batch.expires),
        "cancelling_at": _time(batch.cancelling),
        "finalizing_at": _time(batch.finalizing),
        **ended,
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "metadata": batch.metadata and json.loads(batch.metadata),
    }


_ENDS = ("completed", "failed", "expired", "cancelled")


def _time(time: float | None) -> int | None:
    return None if time is None else int(time)


def router(engine: JobEngine, batches: Batches, endpoints: Collection[str]) -> APIRouter:
    """All routes of batches."""
    handlers = BatchRoutes(engine, batches, [path for path in endpoints if path.startswith("/v1/")])
    routes = APIRouter(tags=["batches"], route_class=UnlessForwarded)
    add = partial(routes.add_api_route, response_model=None)
    path, of_batch = "/v1/batches/{batch_id}", path_parameter("batch_id", "batch_0123456789abcdef")
    add("/v1/batches", handlers.create, methods=["POST"], summary="Run the requests of a file")
    add("/v1/batches", handlers.list, methods=["GET"], summary="List your batches")
    add(path, handlers.get, methods=["GET"], summary="A batch", openapi_extra=of_batch)
    add(f"{path}/cancel", handlers.cancel, methods=["POST"], summary="Cancel a batch", openapi_extra=of_batch)
    return routes
