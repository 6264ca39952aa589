"""What the server's own routes read, for the OpenAPI document: bodies, query parameters and parts of the path.

These routes parse their requests themselves, so FastAPI cannot describe them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from gateway.routes.batches import BatchRequest
from gateway.routes.configuration import ConfigurationText
from gateway.routes.keys import KeyChange, KeyOrder
from gateway.routes.model_downloads import DownloadOrder
from gateway.routes.models import query_parameter

Operation = tuple[str, str]
"""A method and a path."""

BODIES: Mapping[Operation, tuple[type[BaseModel], Mapping[str, Any]]] = {
    ("post", "/api/models/download"): (DownloadOrder, {"model": "smolvlm"}),
    ("post", "/v1/batches"): (
        BatchRequest,
        {
            "input_file_id": "file-0123456789abcdef",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        },
    ),
    ("post", "/v1/system/configuration/check"): (ConfigurationText, {"text": "models: [{id: ocr, engine: rapidocr}]"}),
    ("put", "/v1/system/configuration"): (ConfigurationText, {"text": "models: [{id: ocr, engine: rapidocr}]"}),
    ("post", "/v1/system/keys"): (KeyOrder, {"name": "my-app", "rate_limit": "60/minute", "scopes": ["admin"]}),
    ("patch", "/v1/system/keys/{name}"): (KeyChange, {"rate_limit": "120/minute"}),
}
"""JSON bodies with a model of their own, and an example of each."""

_TEXT = {"type": "string"}
_ENTRY = {
    "type": "object",
    "description": "An entry, or a model of the catalogue; docs/configuration.md has all keys of an entry.",
    "properties": {
        "model": {
            **_TEXT,
            "description": "A model of the catalogue, whose entry is added; without it, the other keys are the entry.",
        },
        "id": {**_TEXT, "description": "The name that clients send as `model`; without it, that of the catalogue."},
        "engine": {**_TEXT, "description": "The engine that runs it; without it, that of the catalogue."},
        "source": {
            **_TEXT,
            "default": "",
            "description": "A model at the hub, a file, a folder or a package's folder.",
        },
    },
    "additionalProperties": {"description": "Any other key of an entry replaces the one of the catalogue."},
}
_FORCE = {
    "type": "object",
    "properties": {
        "force": {"type": "boolean", "default": False, "description": "Ends requests in progress at once."},
    },
}
_UPLOAD = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {**_TEXT, "format": "binary", "description": "The file."},
        "purpose": {**_TEXT, "description": "What it is for, such as `batch`."},
        "expires_after[seconds]": {
            "type": "integer",
            "minimum": 1,
            "description": "How long the file stays; without it, until it is deleted.",
        },
    },
}
_ANY_REQUEST = {"type": "object", "description": "A request for the task or the path that `model_type` names."}
_CHAT = {"messages": [{"role": "user", "content": "Hello!"}]}
_OTHER_BODIES: Mapping[Operation, dict[str, Any]] = {
    ("post", "/api/models"): {"application/json": {"schema": _ENTRY, "example": {"model": "bge"}}},
    ("post", "/v1/files"): {"multipart/form-data": {"schema": _UPLOAD}},
    ("post", "/v1/system/evict/{alias}"): {"application/json": {"schema": _FORCE, "example": {"force": False}}},
    ("post", "/jobs/submit/{model_type}"): {"application/json": {"schema": _ANY_REQUEST, "example": _CHAT}},
}
_OPTIONAL = {("post", "/v1/system/evict/{alias}")}

_ORDER = query_parameter("order", "string", "`desc`: newest first; `asc`: oldest first", "desc", default="desc")
_FORCED = query_parameter("force", "boolean", "end requests in progress at once", False, default=False)


def _limit(default: int, most: int) -> dict[str, Any]:
    return query_parameter("limit", "integer", "how many at most", default, default=default, minimum=1, maximum=most)


def _after(what: str, example: str) -> dict[str, Any]:
    return query_parameter("after", "string", f"the {what} after this one, by its id, for the next page", example)


_QUERIES: Mapping[Operation, tuple[dict[str, Any], ...]] = {
    ("get", "/jobs"): (
        query_parameter("status", "string", "only jobs in these states, separated by commas", "queued,running"),
        query_parameter("model_type", "string", "only jobs of this type", "chat"),
        _limit(100, 1000),
        query_parameter("before", "string", "only jobs before this one, for the next page", "job_0123456789abcdef"),
    ),
    ("get", "/jobs/{job_id}"): (
        query_parameter("result", "boolean", "`false` leaves the result out", False, default=True),
    ),
    ("get", "/v1/models"): (query_parameter("task", "string", "only models that do this task", "chat"),),
    ("get", "/v1/batches"): (_limit(20, 100), _after("batches", "batch_0123456789abcdef")),
    ("get", "/v1/files"): (
        _limit(10000, 10000),
        _after("files", "file-0123456789abcdef"),
        _ORDER,
        query_parameter("purpose", "string", "only files for this purpose", "batch"),
    ),
    ("get", "/v1/responses/{response_id}/input_items"): (_limit(20, 100), _after("items", "msg_1"), _ORDER),
    ("post", "/v1/system/evict/{alias}"): (_FORCED,),
    ("delete", "/api/models/{id}"): (
        query_parameter("entry", "boolean", "remove its entry in config.yaml too", False, default=False),
        query_parameter("files", "boolean", "`false` keeps its files", True, default=True),
    ),
    ("get", "/v1/system/events"): (
        query_parameter(
            "since", "integer", "events after this one come first; without it, only new ones", 1200, minimum=0
        ),
    ),
}

_PARTS: Mapping[str, str] = {
    "alias": "A model's id, or an alias of it.",
    "batch_id": "A batch's id.",
    "file_id": "A file's id.",
    "id": "The id, as the list shows it.",
    "job_id": "A job's id.",
    "model": "A model's id, or an alias of it.",
    "model_id": "A model's id, or an alias of it.",
    "model_or_task": "A model by its id, its name at the hub or an alias, or a task.",
    "model_type": "A task, a model of the vision models API, or a path such as `v1/chat/completions`.",
    "name": "The name, as the list shows it.",
    "response_id": "A stored response's id.",
    "task": "A task's id.",
}
"""What parts of a path mean, and parameters of queries that have no description of their own."""


def describe_inputs(document: dict[str, Any], references: Mapping[Any, Any]) -> None:
    """Add bodies and parameters to the operations of the document."""
    paths = document["paths"]
    for (method, path), (model, example) in BODIES.items():
        content = {"application/json": {"schema": references[model, "validation"], "example": dict(example)}}
        paths[path][method]["requestBody"] = {"required": True, "content": content}
    for (method, path), content in _OTHER_BODIES.items():
        paths[path][method]["requestBody"] = {"required": (method, path) not in _OPTIONAL, "content": content}
    for (method, path), parameters in _QUERIES.items():
        operation = paths[path][method]
        operation["parameters"] = [*operation.get("parameters", ()), *parameters]
    for operations in paths.values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                parameter.setdefault("description", _PARTS.get(parameter["name"], ""))
