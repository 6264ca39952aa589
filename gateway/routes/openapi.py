"""Adds tasks and dialects to the OpenAPI document, from the models that validate their requests."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from contract.arrays import holds_arrays
from contract.configuration import (
    ConfigurationCheck,
    ConfigurationPage,
    KeyDescription,
    KeyList,
    NewKey,
    SavedConfiguration,
)
from contract.field_docs import describe, describe_answers, describe_fields
from contract.history import History
from contract.logs import LogFiles, LogPage
from contract.request_log import CapturedRequest, LoggedRequests
from contract.status import Status
from contract.tasks import EncodedResponse, Task, all_tasks
from gateway.dialects import all_dialects
from gateway.dialects.dialect import ControlRoute, DialectRoute
from gateway.routes.openapi_inputs import BODIES, describe_inputs
from gateway.routes.task_forms import BYTES, form_schema

_REF = "#/components/schemas/{model}"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "description": "What went wrong.",
            "required": ["message", "type", "code", "param", "request_id", "details"],
            "properties": {
                "message": {"type": "string", "description": "What is wrong and what to do."},
                "type": {"type": "string", "description": "The kind of error, such as `invalid_request_error`."},
                "code": {"type": "string", "description": "Which error it is, such as `model_not_found`."},
                "param": {"type": ["string", "null"], "description": "The field that is wrong, if it is a single one."},
                "request_id": {
                    "type": ["string", "null"],
                    "description": "The request's id, which the logs have too.",
                },
                "details": {"type": "object", "description": "Numbers and names, for programs."},
            },
        }
    },
}

_FAMILIES = {
    "tasks": "What models do. Requests without `model` get the default model of the task.",
    "jobs": "Requests that are stored now and run later.",
    "batches": "OpenAI's files and batches: the requests of a file run later.",
    "models": "The configured models, and the catalogue of those that may be configured.",
    "system": "Health, metrics, status, and what an operator may do.",
}
"""Groups of paths beside the dialects, in the order of the reference."""

_FAILURE = {
    "description": "What went wrong, and what to do",
    "content": {"application/json": {"schema": {"$ref": _REF.format(model="Error")}}},
}


_ANSWERS: dict[tuple[str, str], type[BaseModel]] = {
    ("get", "/v1/system/status"): Status,
    ("get", "/v1/system/history"): History,
    ("get", "/v1/system/requests"): LoggedRequests,
    ("get", "/v1/system/requests/{id}"): CapturedRequest,
    ("get", "/v1/system/keys"): KeyList,
    ("post", "/v1/system/keys"): NewKey,
    ("patch", "/v1/system/keys/{name}"): KeyDescription,
    ("get", "/v1/system/configuration"): ConfigurationPage,
    ("post", "/v1/system/configuration/check"): ConfigurationCheck,
    ("put", "/v1/system/configuration"): SavedConfiguration,
    ("get", "/v1/system/logs"): LogFiles,
    ("get", "/v1/system/log-pages/{name}"): LogPage,
}
"""What answers of FastAPI's own routes look like, by method and path."""


class DocumentedApp(FastAPI):
    """FastAPI whose OpenAPI document includes tasks and dialects, which FastAPI's own routing does not serve."""

    requires_key = False

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, built once."""
        if not self.openapi_schema:
            document = super().openapi()
            _add_bodies(document)
            if self.requires_key:
                _add_security(document)
        return super().openapi()


def _add_bodies(document: dict[str, Any]) -> None:
    """Add the paths of tasks and dialects. All models are described at once, so that each has one name."""
    tasks, dialects = list(all_tasks().values()), list(all_dialects().values())
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = _ERROR
    models: list[tuple[type[BaseModel], Any]] = [(model, "serialization") for model in _ANSWERS.values()]
    models += [(model, "validation") for model, _ in BODIES.values()]
    for task in tasks:
        models += [(task.request, "validation")]
        models += [(task.response, "serialization")] if task.response is not EncodedResponse else []
        models += [(task.chunk, "serialization")] if task.chunk else []
    for dialect in dialects:
        described: list[DialectRoute | ControlRoute] = [*dialect.routes, *dialect.controls]
        models += [(route.request, "validation") for route in described if route.request]
        models += [(route.response, "serialization") for route in described]
    references, definitions = models_json_schema(models, ref_template=_REF)
    schemas.update(definitions.get("$defs", {}))
    describe_fields(schemas, (model for model, mode in models if mode == "validation"))
    describe_answers(schemas, (model for model, mode in models if mode == "serialization"))
    for (method, path), model in _ANSWERS.items():
        answer = document["paths"][path][method]["responses"]["200"]
        answer["content"] = {"application/json": {"schema": references[model, "serialization"]}}
    describe_inputs(document, references)
    for task in tasks:
        document["paths"][task.path] = {"post": _operation(task, references)}
    families = _FAMILIES | {dialect.title: dialect.description for dialect in dialects}
    document["tags"] = [{"name": name, "description": description} for name, description in families.items()]
    for dialect in dialects:
        for route in dialect.routes:  # of several at one path, the first is described
            operation = _dialect_operation(route, dialect.title, references)
            document["paths"].setdefault(route.path, {}).setdefault("post", operation)
        for control in dialect.controls:
            operation = _dialect_operation(control, dialect.title, references)
            document["paths"].setdefault(control.path, {})[control.method.lower()] = operation


def _operation(task: Task[Any, Any], references: dict[Any, Any]) -> dict[str, Any]:
    module = sys.modules[task.request.__module__]
    content = {
        "application/json": {"schema": references[task.request, "validation"], "example": dict(task.example)},
    }
    if form := form_schema(task.request):
        describe(form, task.request)
        content["multipart/form-data"] = {"schema": form}
    response: type[BaseModel] = task.response
    responses: dict[str, Any] = {}
    if response is not EncodedResponse:
        responses["application/json"] = {"schema": references[response, "serialization"]}
    if task.chunk:
        responses["text/event-stream"] = {"schema": references[task.chunk, "serialization"]}
    for media_type in task.media_types:
        responses[media_type] = {"schema": {"type": "string"} if media_type.startswith("text/") else BYTES}
    if holds_arrays(response):
        responses |= {"application/octet-stream": {"schema": BYTES}, "application/x-npz": {"schema": BYTES}}
    return {
        "tags": ["tasks"],
        "summary": task.name,
        "description": inspect.cleandoc(module.__doc__ or ""),
        "operationId": task.name.replace("-", "_"),
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "The response", "content": responses}, "default": _FAILURE},
    }


def _dialect_operation(route: DialectRoute | ControlRoute, tag: str, references: dict[Any, Any]) -> dict[str, Any]:
    response = {"schema": references[route.response, "serialization"], "example": route.answer}
    operation = {
        "tags": [tag],
        "summary": route.summary,
        "description": inspect.cleandoc((route.request or route.response).__doc__ or ""),
        "operationId": _operation_id(route.path),
        "responses": {
            "200": {"description": "The response", "content": {"application/json": response}},
            "default": _FAILURE,
        },
    }
    if route.request:
        request = {"schema": references[route.request, "validation"], "example": dict(route.example or {})}
        operation["requestBody"] = {"required": True, "content": {"application/json": request}}
    return operation


def _operation_id(path: str) -> str:
    """A name for a dialect's operation that no task has."""
    name = path.strip("/").replace("/", "_") or "root"
    return (f"{name}_of_dialect" if name in all_tasks() else name).replace("-", "_")


def _add_security(document: dict[str, Any]) -> None:
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a JSON web token"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{"bearer": []}, {"key": []}]
