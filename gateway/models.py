"""GET /v1/models: what can be asked for, in OpenAI's form and with what this house knows beside it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from contract.status import ModelStatus
from gateway.directory import Directory


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


def router(directory: Directory) -> APIRouter:
    """The routes over the directory."""
    routes = APIRouter(tags=["models"])

    async def list_models() -> dict[str, Any]:
        """Every configured model, whether it runs or not."""
        entries = [entry(model) for model in (await directory.current()).models]
        return {"object": "list", "data": entries, "models": entries, "count": len(entries)}

    async def get_model(model_id: str) -> dict[str, Any]:
        """One model by its id or one of its aliases."""
        if not model_id:
            return await list_models()
        return entry((await directory.current()).get(model_id))

    routes.get("/v1/models")(list_models)
    routes.get("/v1/models/{model_id:path}")(get_model)
    return routes
