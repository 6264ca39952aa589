"""GET /api/models: the catalogue joined with the configured models: which are downloaded, and whether they fit."""

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
from contract.status import DownloadStatus, LocalCopy, ModelStatus, State
from contract.tasks import all_tasks
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.routes.models import path_parameter

GIB = 1 << 30

TASK_WORDS = {
    "embedding": "embeddings", "text_embedding": "embeddings", "image_caption": "caption", "captioning": "caption",
    "image_ocr": "ocr", "text_generation": "chat", "llm": "chat", "detection": "detect", "segmentation": "segment",
}  # fmt: skip
"""Other words for tasks; hyphens count as underscores."""


class _Overview(BaseModel):
    """The manager's GET /downloads: copies on this machine and downloads; `memory` in bytes by device."""

    models: dict[str, LocalCopy]
    catalogue: dict[str, LocalCopy]
    downloads: list[DownloadStatus] = []
    memory: dict[str, int] = {}

    def download_of(self, sources: frozenset[str], id_: str) -> DownloadStatus | None:
        """The latest download of a model."""
        of_model = (d for d in reversed(self.downloads) if d.source in sources or d.model == id_)
        return next(of_model, None)


def router(manager: ManagerClient, directory: ModelDirectory) -> APIRouter:
    """The routes that list models."""
    routes = APIRouter(tags=["models"])

    async def rows() -> list[CatalogueRow]:
        configured = (await directory.current()).models
        reply = await manager.call("GET", "/downloads")
        return _rows(configured, _Overview.model_validate(reply.json()))

    async def list_catalogue(_: Request) -> Response:
        """The catalogue and all other configured models: size, licence, memory, configuration entry and state."""
        return _listing(await rows())

    async def get_model_or_task(request: Request) -> Response:
        """All models for a task, or one model by its id, hub id or alias."""
        name = request.path_params["model_or_task"][:MAX_NAME]
        all_rows = await rows()
        task = TASK_WORDS.get(name.replace("-", "_").casefold(), name)
        if not task or task in all_tasks():
            return _listing([row for row in all_rows if not task or task in row.tasks])
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
    `downloaded` is null if only an external server knows, `partly_downloaded` says that a download has begun and is not
    complete. `disk_bytes` are those of its files on this machine, and `download` is its latest download. `fits` says
    whether this machine can have room for it, and `fits_in` in which of the catalogue's precisions.
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
    partly_downloaded: bool = False
    disk_bytes: int = 0
    download: DownloadStatus | None = None
    fits: bool | None = None
    fits_in: list[str] | None = None
    state: State | None = None

    def has_name(self, name: str) -> bool:
        """Whether `name` is the model's id, hub id or an alias."""
        aliases = (self.entry or {}).get("aliases", ())
        return name in {self.id, self.hub, *aliases}


def _rows(configured: Sequence[ModelStatus], overview: _Overview) -> list[CatalogueRow]:
    """A row for each model of the catalogue, joined with its first configured entry, then one for each other entry."""
    known_by_id = {model.id: _identify(model) for model in configured}
    first_entries = {known.id: model for model in reversed(configured) if (known := known_by_id[model.id])}
    catalogue_rows = [_row(known, first_entries.get(known.id), overview) for known in catalogue.load()]
    others = [model for model in configured if model not in first_entries.values()]
    return catalogue_rows + [
        _row(known_by_id[model.id], model, overview).model_copy(update={"id": model.id}) for model in others
    ]


def _identify(model: ModelStatus) -> KnownModel | None:
    """The catalogue's model for a configured one, found by its engine and source, else by its id."""
    known = catalogue.load().identify(model.engine, model.source) or catalogue.load().find(model.id)
    return known if known and model.engine in {spec.engine for spec in known.specs} else None


def _row(known: KnownModel | None, model: ModelStatus | None, overview: _Overview) -> CatalogueRow:
    fields: dict[str, Any] = _catalogue_fields(known) if known else {}
    sources = known.sources if known else frozenset()
    if known and overview.memory:
        fields["fits_in"] = [
            name for name, gib in known.memory_gb.items() if gib * GIB <= max(overview.memory.values())
        ]
        fields["fits"] = bool(fields["fits_in"])
    if model is None:
        assert known is not None
        copy = overview.catalogue.get(known.id)
    else:
        copy = overview.models.get(model.id)
        sources |= {model.source} if model.source else frozenset()
        fields = {"id": model.id, "name": model.id, **fields, "tasks": model.tasks, "engine": model.engine}
        fields |= {"configured": model.id, "state": model.state}
        fields["fits"] = fields.get("fits") if model.fits is None else model.fits
    copy = copy or LocalCopy()
    fields |= {"downloaded": copy.downloaded, "partly_downloaded": copy.partly, "disk_bytes": copy.disk_bytes}
    return CatalogueRow(**fields, download=overview.download_of(sources, fields["id"]))


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
