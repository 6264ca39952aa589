"""GET /v1/models: the configured models, in OpenAI's format with more fields, or in Anthropic's for its clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.errors import InvalidField
from contract.status import ModelStatus
from contract.tasks import all_tasks
from gateway.dialects.anthropic import models as anthropic_models
from gateway.dialects.anthropic.models import VERSION_HEADER
from gateway.forwarding.model_directory import ModelDirectory

_IMAGES = "images"
"""The feature of a model that reads images besides texts."""


def entry(model: ModelStatus) -> dict[str, Any]:
    """One model as clients see it: OpenAI's fields, then ours. What is unknown is null.

    A model that is a single file also has its path, size and extension, and one without an entry has the file's name.
    """
    facts = model.facts
    inputs, outputs = _modalities(model, "inputs"), _modalities(model, "outputs")
    file = model.file.model_dump(exclude=None if model.scanned else {"name"}) if model.file else {}
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
        "source": model.public_source,
        "features": model.features,
        "input_modalities": inputs,
        "output_modalities": outputs,
        "context_length": facts.context_length,
        "max_model_len": facts.context_length,
        "dimensions": facts.dimensions,
        "quantization": facts.quantization,
        "tools": facts.tools,
        "reasoning": facts.reasoning,
        "size_bytes": model.weights_bytes,
        "memory_bytes": model.footprint_bytes,
        "state": model.state,
        "needs": model.needs,
        # Where clients of OpenRouter and of llama.cpp's server look for them
        "architecture": {"input_modalities": inputs, "output_modalities": outputs},
        "meta": {"n_ctx": facts.context_length},
        **file,
    }


def entries(model: ModelStatus) -> list[dict[str, Any]]:
    """A model and its presets, each under a name of its own, as clients that list models choose among names."""
    plain = entry(model)
    own = {"aliases": (), "default_for": (), "preset_of": model.id}
    return [plain, *({**plain, "id": name, "name": name, **own} for name in model.presets)]


def _modalities(model: ModelStatus, side: str) -> list[str]:
    """What the model reads (`inputs`) or writes (`outputs`) in any of its tasks."""
    tasks = all_tasks()
    names = [name for task in model.tasks if task in tasks for name in getattr(tasks[task], side)]
    if side == "inputs" and _IMAGES in model.features:
        names.append("image")
    return list(dict.fromkeys(names))


def _for_task(models: Iterable[ModelStatus], task: str | None) -> list[ModelStatus]:
    """The models that do a task; all of them without one. Raises InvalidField for a task that does not exist."""
    if task is None:
        return list(models)
    if task not in all_tasks():
        raise InvalidField(f"There is no task {task[:100]!r}. Tasks: {', '.join(all_tasks())}.", param="task")
    return [model for model in models if task in model.tasks]


def _is_anthropic(request: Request) -> bool:
    return VERSION_HEADER.decode() in request.headers


def router(directory: ModelDirectory) -> APIRouter:
    """The routes that list configured models."""
    routes = APIRouter(tags=["models"])

    async def list_models(request: Request) -> Response:
        """All configured models, running or not; with `?task=chat`, those that do the task."""
        models = _for_task((await directory.current()).models, request.query_params.get("task"))
        if _is_anthropic(request):
            return JSONResponse(anthropic_models.page(models, request.query_params))
        listed = [entry for model in models for entry in entries(model)]
        return JSONResponse({"object": "list", "data": listed, "models": listed, "count": len(listed)})

    async def get_model(request: Request) -> Response:
        """One configured model by its id or an alias, or one of its presets."""
        name = request.path_params["model_id"]
        if not name:
            return await list_models(request)
        model = (await directory.current()).get(name)
        if _is_anthropic(request):
            return JSONResponse(anthropic_models.entry(model, name))
        return JSONResponse(next((entry for entry in entries(model) if entry["id"] == name), entry(model)))

    # Endpoints take a plain Request and return a Response: building FastAPI's own request and response models would
    # make the gateway's start a tenth slower.
    named = path_parameter("model_id", "ocr")
    routes.get("/v1/models", summary="All configured models", response_model=None)(list_models)
    routes.get("/v1/models/{model_id:path}", summary="One configured model", response_model=None, openapi_extra=named)(
        get_model
    )
    return routes


def path_parameter(name: str, example: str) -> dict[str, Any]:
    """The OpenAPI description of a path parameter."""
    schema = {"type": "string"}
    return {"parameters": [{"name": name, "in": "path", "required": True, "schema": schema, "example": example}]}


def query_parameter(name: str, kind: str, description: str, example: Any, **limits: Any) -> dict[str, Any]:
    """The description of an optional query parameter; `kind` is a type of JSON schemas.

    `limits` are other keys of its schema: `default`, `minimum`, `maximum`.
    """
    schema = {"type": kind, **limits}
    return {
        "name": name, "in": "query", "required": False, "description": description, "schema": schema, "example": example
    }  # fmt: skip
