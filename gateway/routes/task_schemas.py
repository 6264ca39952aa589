"""GET /v1/tasks: what models can be asked to do, and the JSON schema of each request, for pages and tools that ask."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.arrays import holds_arrays
from contract.asgi.event_streams import EVENTS
from contract.errors import NotFound
from contract.field_docs import field_descriptions
from contract.status import ModelStatus
from contract.tasks import EncodedResponse, Task, all_tasks
from gateway.forwarding.model_directory import ModelDirectory
from gateway.routes.models import path_parameter
from gateway.routes.task_forms import form_schema, takes_several, uploads

JSON = "application/json"
FORM = "multipart/form-data"

ARRAYS = ("application/octet-stream", "application/x-npz")
"""The media types of answers that are arrays: the bytes of one, or a file with all of them."""


def describe(task: Task[Any, Any], models: Iterable[ModelStatus]) -> dict[str, Any]:
    """A task as clients see it: where its requests go, what they look like, and which models do it."""
    serving = [model for model in models if task.name in model.tasks]
    default = next((model.id for model in serving if task.name in model.default), None)
    return {**_fixed(task.name), "models": [model.id for model in serving], "default_model": default}


@cache
def _fixed(name: str) -> dict[str, Any]:
    """The part of a description that never changes. It is built at the first request, because schemas take time."""
    task = all_tasks()[name]
    form = form_schema(task.request)
    response: type = task.response
    arrays = ARRAYS if holds_arrays(response) else ()
    return {
        "id": name,
        "object": "task",
        "title": task.title or name.replace("-", " ").capitalize(),
        "description": _summary(task),
        "path": task.path,
        "methods": ["POST"],
        "inputs": list(task.inputs),
        "outputs": list(task.outputs),
        "request": {
            "media_types": [JSON, FORM] if form else [JSON],
            "schema": _schema(task),
            "form": form,
            "fields": _fields(task),
            "example": dict(task.example),
        },
        "response": {
            "media_types": [*_json(response), *([EVENTS] if task.chunk else []), *task.media_types, *arrays],
            "arrays": list(arrays),
        },
        "streams": task.chunk is not None,
        "job_path": f"/jobs/submit/{name}",
        "listings": [listing.path for listing in task.listings],
    }


def _json(response: type) -> list[str]:
    return [] if response is EncodedResponse else [JSON]


def _summary(task: Task[Any, Any]) -> str:
    """The first sentence of the task's module, without the task's name before it."""
    own = sys.modules.get(f"contract.tasks.{task.name.replace('-', '_')}") or sys.modules[task.request.__module__]
    text = inspect.cleandoc(own.__doc__ or "").partition("\n\n")[0]
    text = " ".join(text.removeprefix(f"{task.name}: ").split())
    return text[:1].upper() + text[1:]


def _schema(task: Task[Any, Any]) -> dict[str, Any]:
    """The JSON schema of the request, in which each field has its description."""
    schema: dict[str, Any] = task.request.model_json_schema()
    for name, text in field_descriptions(task.request).items():
        schema["properties"][name].setdefault("description", text)
    return schema


def _fields(task: Task[Any, Any]) -> dict[str, dict[str, Any]]:
    """What a schema cannot say of a field: which file it is, and what happens to it."""
    fields: dict[str, dict[str, Any]] = {}
    for name, kind in uploads(task.request).items():
        fields[name] = {"upload": kind, "several": takes_several(task.request, name)}
    for name, known in task.request.known_fields.items():
        if name in task.request.model_fields:
            facts = {"treatment": known.treatment, "feature": known.feature, "hint": known.hint, "apis": known.origins}
            facts |= {"values": [] if None in known.neutral else list(known.neutral)}
            fields.setdefault(name, {}).update({key: value for key, value in facts.items() if value})
    return fields


def router(directory: ModelDirectory) -> APIRouter:
    """The routes that list tasks."""
    routes = APIRouter(tags=["models"])

    async def list_tasks(_: Request) -> Response:
        """Every task with its path, the JSON schema of its request, the forms of its answers, and its models."""
        models = (await directory.current()).models
        # The first time, building the schemas takes a quarter of a second, in which others are answered.
        await asyncio.to_thread(lambda: [_fixed(name) for name in all_tasks()])
        listed = [describe(task, models) for task in all_tasks().values()]
        return JSONResponse({"object": "list", "data": listed, "count": len(listed)})

    async def get_task(request: Request) -> Response:
        """One task by its name."""
        name = request.path_params["task"]
        task = all_tasks().get(name)
        if task is None:
            raise NotFound(f"There is no task {name[:100]!r}. Tasks: {', '.join(all_tasks())}.", param="task")
        await asyncio.to_thread(_fixed, name)
        return JSONResponse(describe(task, (await directory.current()).models))

    named = path_parameter("task", "ocr")
    routes.get("/v1/tasks", summary="All tasks, with the schemas of their requests", response_model=None)(list_tasks)
    routes.get("/v1/tasks/{task}", summary="One task", response_model=None, openapi_extra=named)(get_task)
    return routes
