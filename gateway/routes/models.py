"""GET /v1/models: the configured models, in OpenAI's format with additional fields."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.status import ModelStatus
from gateway.forwarding.model_directory import ModelDirectory


def entry(model: ModelStatus) -> dict[str, Any]:
    """One model as clients see it: OpenAI's fields, then ours."""
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
    """The routes that list configured models."""
    routes = APIRouter(tags=["models"])

    async def list_models(_: Request) -> Response:
        """All configured models, running or not."""
        entries = [entry(model) for model in (await directory.current()).models]
        return JSONResponse({"object": "list", "data": entries, "models": entries, "count": len(entries)})

    async def get_model(request: Request) -> Response:
        """One configured model by its id or an alias."""
        name = request.path_params["model_id"]
        return JSONResponse(entry((await directory.current()).get(name))) if name else await list_models(request)

    # Endpoints take a plain Request and return a Response: building FastAPI's own request and response models would
    # make the gateway's start a tenth slower.
    routes.get("/v1/models", response_model=None)(list_models)
    routes.get("/v1/models/{model_id:path}", response_model=None, openapi_extra=path_parameter("model_id"))(get_model)
    return routes


def path_parameter(name: str) -> dict[str, Any]:
    """The OpenAPI description of a path parameter."""
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]}
