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


def entries(model: ModelStatus) -> list[dict[str, Any]]:
    """A model and its presets, each under a name of its own, as clients that list models choose among names."""
    plain = entry(model)
    own = {"aliases": (), "default_for": (), "preset_of": model.id}
    return [plain, *({**plain, "id": name, "name": name, **own} for name in model.presets)]


def router(directory: ModelDirectory) -> APIRouter:
    """The routes that list configured models."""
    routes = APIRouter(tags=["models"])

    async def list_models(_: Request) -> Response:
        """All configured models, running or not."""
        listed = [entry for model in (await directory.current()).models for entry in entries(model)]
        return JSONResponse({"object": "list", "data": listed, "models": listed, "count": len(listed)})

    async def get_model(request: Request) -> Response:
        """One configured model by its id or an alias, or one of its presets."""
        name = request.path_params["model_id"]
        if not name:
            return await list_models(request)
        model = (await directory.current()).get(name)
        return JSONResponse(next((entry for entry in entries(model) if entry["id"] == name), entry(model)))

    # Endpoints take a plain Request and return a Response: building FastAPI's own request and response models would
    # make the gateway's start a tenth slower.
    routes.get("/v1/models", response_model=None)(list_models)
    routes.get("/v1/models/{model_id:path}", response_model=None, openapi_extra=path_parameter("model_id"))(get_model)
    return routes


def path_parameter(name: str) -> dict[str, Any]:
    """The OpenAPI description of a path parameter."""
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]}
