"""GET /api/models: every model that the house knows or runs, what it does and needs, and whether it is here."""

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
from contract.status import ModelStatus, State
from contract.tasks import all_tasks
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.routes.models import in_path

Downloads = dict[str, dict[str, bool | None]]
"""What the manager says: for `models` (configured) and `catalogue`, whether each lies on its machine, by id."""


def router(manager: ManagerClient, directory: ModelDirectory) -> APIRouter:
    """The routes; what changes the list (download, remove) is not among them."""
    routes = APIRouter(tags=["models"])

    async def rows() -> list[Row]:
        configured = (await directory.current()).models
        reply = await manager.call("GET", "/downloads")
        return _rows(configured, reply.json())

    async def list_known(_: Request) -> Response:
        """The catalogue and whatever else is configured: size, licence, memory, the entry that runs it, its state."""
        return _listing(await rows())

    async def get_known(request: Request) -> Response:
        """The models that do a task, or one model by its id, its id on the hub, or an alias."""
        name = request.path_params["model_or_task"]
        found = await rows()
        if not name or name in all_tasks():
            return _listing([row for row in found if not name or name in row.tasks])
        return JSONResponse(_one(name, found).model_dump(mode="json"))

    routes.get("/api/models", response_model=None)(list_known)
    routes.get("/api/models/{model_or_task:path}", response_model=None, openapi_extra=in_path("model_or_task"))(
        get_known
    )
    return routes


def _listing(rows: list[Row]) -> Response:
    return JSONResponse({"models": [row.model_dump(mode="json") for row in rows], "count": len(rows)})


class Row(BaseModel):
    """One model; what only the catalogue can tell is null for a model that is not in it.

    `configured` is the name under which it can be asked, and `state` what its worker does; both null if it has no
    entry. `downloaded` is null where only a foreign server knows.
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

    def answers_to(self, name: str) -> bool:
        """Whether a client may mean this one by a name."""
        aliases = (self.entry or {}).get("aliases", ())
        return name in {self.id, self.hub, *aliases}


def _rows(configured: Sequence[ModelStatus], downloads: Downloads) -> list[Row]:
    """A row for each model of the catalogue, with the first configured one that is it, then for all other ones."""
    known = {model.id: _known(model) for model in configured}
    first = {entry.id: model for model in reversed(configured) if (entry := known[model.id])}
    of_catalogue = [_row(entry, first.get(entry.id), downloads) for entry in catalogue.load()]
    others = [model for model in configured if model not in first.values()]
    return of_catalogue + [
        _row(known[model.id], model, downloads).model_copy(update={"id": model.id}) for model in others
    ]


def _known(model: ModelStatus) -> KnownModel | None:
    """What the catalogue has for a configured model: known by what it runs, else by its name."""
    known = catalogue.load().identify(model.engine, model.source) or catalogue.load().find(model.id)
    return known if known and model.engine in {spec.engine for spec in known.specs} else None


def _row(known: KnownModel | None, model: ModelStatus | None, downloads: Downloads) -> Row:
    facts: dict[str, Any] = _facts(known) if known else {}
    if model is None:
        assert known is not None
        return Row(**facts, downloaded=downloads["catalogue"].get(known.id))
    own = {"tasks": model.tasks, "engine": model.engine, "configured": model.id, "state": model.state}
    return Row(**{"id": model.id, "name": model.id, **facts, **own}, downloaded=downloads["models"].get(model.id))


def _facts(known: KnownModel) -> dict[str, Any]:
    apple = known.apple
    return {
        **known.model_dump(include=Row.model_fields.keys() - {"apple", "parameters"}),
        "engine": known.engine,
        "parameters": round(known.parameters * 1e6),
        "memory_gb": known.memory_gb,
        "apple": apple and {"size_mb": apple.size_mb, "memory_gb": apple.memory_gb, "entry": apple.entry},
    }


def _one(name: str, rows: list[Row]) -> Row:
    """The model that is configured under a name, else the one that the catalogue has under it. Raises ModelNotFound."""
    for row in rows:
        if row.configured == name:
            return row
    if found := next((row for row in rows if row.answers_to(name)), None):
        return found
    near = catalogue.nearest(name, [*all_tasks(), *(known for row in rows for known in (row.id, row.hub) if known)])
    guess = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    message = f"There is no model or task {name[:200]!r}. {guess}GET /api/models lists all models."
    raise ModelNotFound(message, param="model", details={"model_id": name, "near": near})
