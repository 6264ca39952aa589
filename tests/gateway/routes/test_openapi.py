"""The OpenAPI document."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from contract.tasks import all_tasks
from gateway.dialects import all_dialects
from scripts.check import api_document
from tests.support.gateway_processes import GatewayProcess


def test_openapi_describes_tasks_and_control_routes(gateway: GatewayProcess) -> None:
    document = gateway.http.get("/openapi.json").json()
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"].keys() == {"application/json"}
    assert chat["responses"]["200"]["content"].keys() == {"application/json", "text/event-stream"}
    assert "messages" in _schema(document, chat["requestBody"]["content"]["application/json"])["properties"]
    ocr = document["paths"]["/v1/vision/ocr"]["post"]["requestBody"]["content"]
    image = ocr["multipart/form-data"]["schema"]["properties"]["image"]
    assert (image["type"], image["items"]) == ("array", {"type": "string", "format": "binary"})
    depth = document["paths"]["/v1/vision/depth"]["post"]["responses"]["200"]["content"]
    assert depth.keys() == {"application/json", "application/octet-stream", "application/x-npz"}
    assert {"/v1/models", "/v1/system/status", "/v1/system/events", "/metrics", "/ready"} <= document["paths"].keys()
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert reference in document["components"]["schemas"]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return json.loads(api_document.current())


def test_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


@pytest.mark.skipif("LATEST" in os.environ, reason="newer libraries describe the same models in other words")
def test_document_is_the_one_in_the_docs(document: dict[str, Any]) -> None:
    assert json.loads(api_document.PAGE.read_text()) == document, "`make format` writes it"


def test_every_path_is_in_a_described_family(document: dict[str, Any]) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    used = {tag for operation in operations for tag in operation["tags"]}
    assert used == described
    assert all(operation["summary"] and len(operation["tags"]) == 1 for operation in operations)
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)


def test_every_path_has_an_example(document: dict[str, Any]) -> None:
    models = {task.path: task.request for task in all_tasks().values()}
    for dialect in all_dialects().values():  # of several dialects at a path, the first is described
        routes = (*dialect.controls, *reversed(dialect.routes))
        own = {route.path: route.request for route in routes if route.request}
        models = own | models
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert all(parameter["example"] for parameter in operation.get("parameters", ()))
            if "requestBody" in operation:
                example = operation["requestBody"]["content"]["application/json"]["example"]
                request = models[path].model_validate(example)
                assert not request.model_extra, path


def _schema(document: dict, content: dict) -> dict:
    return document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]


def test_every_field_of_every_request_is_described(document: dict[str, Any]) -> None:
    schemas, described, undescribed = document["components"]["schemas"], set[str](), list[str]()

    def visit(part: Any) -> None:
        for name in set(re.findall(r"#/components/schemas/(\w+)", json.dumps(part))) - described:
            described.add(name)
            fields = schemas[name].get("properties", {})
            undescribed.extend(f"{name}.{field}" for field, schema in fields.items() if "description" not in schema)
            visit(fields)

    for operations in document["paths"].values():
        for operation in operations.values():
            visit(operation.get("requestBody", {}))
    assert {"ChatRequest", "DetectRequest", "MessagesRequest", "OllamaChatRequest", "Message"} <= described
    assert undescribed == []
