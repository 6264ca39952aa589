"""The OpenAPI document."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from contract.tasks import all_tasks
from contract.yaml_file import read_yaml
from gateway.dialects import all_dialects
from gateway.routes.openapi_inputs import BODIES
from scripts.check import api_document
from tests.support.gateway_processes import GatewayProcess

ROOT = Path(__file__).parents[3]


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
            assert all("example" in parameter for parameter in operation.get("parameters", ()))
            if "requestBody" in operation and path in models:
                example = operation["requestBody"]["content"]["application/json"]["example"]
                request = models[path].model_validate(example)
                assert not request.model_extra, path
    for (method, path), (model, example) in BODIES.items():
        model.model_validate(example)
        assert document["paths"][path][method]["requestBody"]["content"]["application/json"]["example"] == example


def _schema(document: dict, content: dict) -> dict:
    return document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]


def test_every_field_of_requests_and_answers_is_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    undescribed = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, property_ in schema.get("properties", {}).items()
        if not property_.get("description")
    ]
    assert {
        "ChatRequest",
        "MessagesRequest",
        "OllamaChatRequest",
        "KeyOrder",
        "ChatResponse",
        "Status",
    } <= schemas.keys()
    assert undescribed == [], "docstrings, contract/field_docs.yaml or contract/answer_docs.yaml describe fields"


def test_tables_describe_only_fields_that_there_are(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    fields = {field for schema in schemas.values() for field in schema.get("properties", {})}
    for table in ("field_docs.yaml", "answer_docs.yaml"):
        named = [key.split(".") for key in read_yaml((ROOT / "contract" / table).read_text())]
        assert {key[-1] for key in named} <= fields
        own = [key for key in named if len(key) > 1 and key[0] in schemas]
        assert [key for key in own if key[1] not in schemas[key[0]]["properties"]] == []


WITHOUT_BODY = {
    "/api/copy",
    "/api/create",
    "/api/push",
    "/models/unload-all",
    "/v1/batches/{batch_id}/cancel",
    "/v1/responses/{response_id}/cancel",
    "/v1/system/reload",
}


def test_every_body_and_parameter_is_described(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert all(parameter["description"] for parameter in operation.get("parameters", ())), path
            has_body = method in {"post", "put", "patch"} and path not in WITHOUT_BODY
            assert ("requestBody" in operation) == has_body or (path == "/api/delete"), path
