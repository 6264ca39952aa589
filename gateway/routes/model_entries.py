"""POST /api/models adds an entry to config.yaml; DELETE /api/models/{id} removes a model's files, its entry or both."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.asgi.body import read_body
from contract.errors import BadRequest
from contract.lazy_model import LazyModel
from contract.validation import invalid_request
from gateway.access.keys import require_admin
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.routes.models import path_parameter

_MAX_BODY = 64 * 1024
_PATIENCE = 120.0
"""Seconds that the manager may take: it tries the entry's engine, or removes many files."""


class RemovalQuery(LazyModel):
    """What is removed: `files` and, only if it says so, the `entry`."""

    model_config = ConfigDict(extra="forbid")

    entry: bool = False
    files: bool = True


def router(manager: ManagerClient, directory: ModelDirectory) -> APIRouter:
    """The routes that change which models there are. They need the scope `admin`."""
    routes = APIRouter(tags=["models"])

    async def add(request: Request) -> Response:
        """Add a model to config.yaml, whose comments are kept. Needs the scope `admin`.

        The body is an entry, or `{"model": "smolvlm"}` for that of the catalogue; other fields replace parts of it.
        Only the file itself may set what runs other programs: `python`, `env`, `trust_remote_code`, and the engine
        `command`.
        """
        require_admin(request.scope.get("principal"))
        reply = await manager.call("POST", "/entries", content=await _document(request), timeout=_PATIENCE)
        added: dict[str, Any] = reply.json()
        model = (await directory.refresh()).get(added["model"])
        return JSONResponse(model.model_dump(mode="json"), 201, {"location": f"/v1/models/{quote(model.id)}"})

    async def remove(request: Request) -> Response:
        """Remove a model's files from the hub's cache, and say how many bytes are free again. Needs the scope `admin`.

        With `?entry=true`, its entry in config.yaml goes too; with `?entry=true&files=false`, only the entry. Refused
        with 409 while the model is in use, or if another entry has the same files.
        """
        require_admin(request.scope.get("principal"))
        query = _query(request)
        flags = f"entry={str(query.entry).lower()}&files={str(query.files).lower()}"
        name = quote(request.path_params["id"], safe="")
        reply = await manager.call("DELETE", f"/entries/{name}?{flags}", timeout=_PATIENCE)
        removed = reply.json()
        await directory.refresh()
        return JSONResponse(removed)

    by_id = path_parameter("id", "smolvlm")
    routes.post("/api/models", summary="Add a model", response_model=None)(add)
    routes.delete("/api/models/{id:path}", summary="Remove a model", response_model=None, openapi_extra=by_id)(remove)
    return routes


async def _document(request: Request) -> dict[str, Any]:
    body = await read_body(request.scope, request.receive, _MAX_BODY)
    try:
        return _Document.model_validate_json(body).model_extra or {}
    except ValidationError as error:
        raise invalid_request(error) from None


class _Document(LazyModel):
    model_config = ConfigDict(extra="allow")


def _query(request: Request) -> RemovalQuery:
    try:
        query = RemovalQuery.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise invalid_request(error) from None
    if not (query.entry or query.files):
        raise BadRequest("With `files=false` and without `entry=true`, nothing would be removed.", param="files")
    return query
