"""GET /v1/models: what can be asked for, in OpenAI's form and with what this house knows beside it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.status import ModelStatus
from gateway.forwarding.model_directory import ModelDirectory


def entry(model: ModelStatus) -> dict[str, Any]:
    """One model as clients see it."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": "enginehouse",
        "name": model.id,
        "tasks": model.tasks,
        "default_for": model.default,
        "aliases": model.aliases,
        "engine": model.engine,
        "source": model.source,
        "features": model.features,
        "state": model.state,
    }


def router(directory: ModelDirectory) -> APIRouter:
    """The routes over the directory."""
    routes = APIRouter(tags=["models"])

    async def list_models(_: Request) -> Response:
        """Every configured model, whether it runs or not."""
        entries = [entry(model) for model in (await directory.current()).models]
        return JSONResponse({"object": "list", "data": entries, "models": entries, "count": len(entries)})

    async def get_model(request: Request) -> Response:
        """One model by its id or one of its aliases."""
        name = request.path_params["model_id"]
        return JSONResponse(entry((await directory.current()).get(name))) if name else await list_models(request)

    # Endpoints take the bare request and answer with a response: models that FastAPI would build for them at the start
    # cost a tenth of it.
    routes.get("/v1/models", response_model=None)(list_models)
    routes.get("/v1/models/{model_id:path}", response_model=None, openapi_extra=in_path("model_id"))(get_model)
    return routes


def in_path(name: str) -> dict[str, Any]:
    """The OpenAPI entry for a part of a path."""
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]}
