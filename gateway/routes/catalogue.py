"""GET /api/models: the catalogue of known models joined with the configured ones, and which are downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract import catalogue
from contract.catalogue import KnownModel
from contract.errors import ModelNotFound
from contract.limits import MAX_NAME
from contract.status import ModelStatus, State
from contract.tasks import all_tasks
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.routes.models import path_parameter

Downloads = dict[str, dict[str, bool | None]]
"""The manager's GET /downloads: under `models` (configured) and `catalogue`, whether each model is on disk, by id."""


def router(manager: ManagerClient, directory: ModelDirectory) -> APIRouter:
    """The read-only routes; downloading and removing models are not among them."""
    routes = APIRouter(tags=["models"])

    async def rows() -> list[CatalogueRow]:
        configured = (await directory.current()).models
        reply = await manager.call("GET", "/downloads")
        return _rows(configured, reply.json())

    async def list_catalogue(_: Request) -> Response:
        """The catalogue and all other configured models: size, licence, memory, configuration entry and state."""
        return _listing(await rows())

    async def get_model_or_task(request: Request) -> Response:
        """All models for a task, or one model by its id, hub id or alias."""
        name = request.path_params["model_or_task"][:MAX_NAME]
        all_rows = await rows()
        if not name or name in all_tasks():
            return _listing([row for row in all_rows if not name or name in row.tasks])
        return JSONResponse(_find(name, all_rows).model_dump(mode="json"))

    named = path_parameter("model_or_task", "ocr")
    routes.get("/api/models", summary="The catalogue", response_model=None)(list_catalogue)
    routes.get(
        "/api/models/{model_or_task:path}", summary="One model, or a task's", response_model=None, openapi_extra=named
    )(get_model_or_task)
    return routes


def _listing(rows: list[CatalogueRow]) -> Response:
    return JSONResponse({"models": [row.model_dump(mode="json") for row in rows], "count": len(rows)})


class CatalogueRow(BaseModel):
    """One model. Fields that come from the catalogue are null for a model that is not in it.

    `configured` is the id of its configuration entry and `state` that of its worker; both are null if it has no entry.
    `downloaded` is null if only an external server knows.
    """

    id: str
    name: str
    family: str | None = None
    team: str | None = None
    hub: str | None = None
    tasks: tuple[str, ...]
    engine: str
    licence: str | None = None
    gated: bool | None = None
    parameters: int | None = None
    size_mb: int | None = None
    memory_gb: dict[str, float] | None = None
    dimensions: int | None = None
    note: str | None = None
    entry: dict[str, Any] | None = None
    apple: dict[str, Any] | None = None
    configured: str | None = None
    downloaded: bool | None = None
    state: State | None = None

    def has_name(self, name: str) -> bool:
        """Whether `name` is the model's id, hub id or an alias."""
        aliases = (self.entry or {}).get("aliases", ())
        return name in {self.id, self.hub, *aliases}


def _rows(configured: Sequence[ModelStatus], downloads: Downloads) -> list[CatalogueRow]:
    """A row for each model of the catalogue, joined with its first configured entry, then one for each other entry."""
    known_by_id = {model.id: _identify(model) for model in configured}
    first_entries = {known.id: model for model in reversed(configured) if (known := known_by_id[model.id])}
    catalogue_rows = [_row(known, first_entries.get(known.id), downloads) for known in catalogue.load()]
    others = [model for model in configured if model not in first_entries.values()]
    return catalogue_rows + [
        _row(known_by_id[model.id], model, downloads).model_copy(update={"id": model.id}) for model in others
    ]


def _identify(model: ModelStatus) -> KnownModel | None:
    """The catalogue's model for a configured one, found by its engine and source, else by its id."""
    known = catalogue.load().identify(model.engine, model.source) or catalogue.load().find(model.id)
    return known if known and model.engine in {spec.engine for spec in known.specs} else None


def _row(known: KnownModel | None, model: ModelStatus | None, downloads: Downloads) -> CatalogueRow:
    known_fields: dict[str, Any] = _catalogue_fields(known) if known else {}
    if model is None:
        assert known is not None
        return CatalogueRow(**known_fields, downloaded=downloads["catalogue"].get(known.id))
    configured = {"tasks": model.tasks, "engine": model.engine, "configured": model.id, "state": model.state}
    fields = {"id": model.id, "name": model.id, **known_fields, **configured}
    return CatalogueRow(**fields, downloaded=downloads["models"].get(model.id))


def _catalogue_fields(known: KnownModel) -> dict[str, Any]:
    apple = known.apple
    return {
        **known.model_dump(include=CatalogueRow.model_fields.keys() - {"apple", "parameters"}),
        "engine": known.engine,
        "parameters": round(known.parameters * 1e6),
        "memory_gb": known.memory_gb,
        "apple": apple and {"size_mb": apple.size_mb, "memory_gb": apple.memory_gb, "entry": apple.entry},
    }


def _find(name: str, rows: list[CatalogueRow]) -> CatalogueRow:
    """The model configured under this id, else the one with this name in the catalogue. Raises ModelNotFound."""
    by_configured_id = (row for row in rows if row.configured == name)
    by_name = (row for row in rows if row.has_name(name))
    if row := next(by_configured_id, None) or next(by_name, None):
        return row
    near = catalogue.nearest(name, [*all_tasks(), *(known for row in rows for known in (row.id, row.hub) if known)])
    guess = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    message = f"There is no model or task {name[:200]!r}. {guess}GET /api/models lists all models."
    raise ModelNotFound(message, param="model", details={"model_id": name, "near": near})
