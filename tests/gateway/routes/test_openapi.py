"""The OpenAPI document."""

from __future__ import annotations

import json
import re

from tests.support.gateway_processes import GatewayProcess


def test_openapi_describes_tasks_and_control_routes(gateway: GatewayProcess) -> None:
    document = gateway.http.get("/openapi.json").json()
    chat = document["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"].keys() == {"application/json"}
    assert chat["responses"]["200"]["content"].keys() == {"application/json", "text/event-stream"}
    assert "messages" in _schema(document, chat["requestBody"]["content"]["application/json"])["properties"]
    ocr = document["paths"]["/v1/vision/ocr"]["post"]["requestBody"]["content"]
    assert ocr["multipart/form-data"]["schema"]["properties"]["image"] == {"type": "string", "format": "binary"}
    depth = document["paths"]["/v1/vision/depth"]["post"]["responses"]["200"]["content"]
    assert depth.keys() == {"application/json", "application/octet-stream", "application/x-npz"}
    assert {"/v1/models", "/v1/system/status", "/v1/system/events", "/metrics", "/ready"} <= document["paths"].keys()
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert reference in document["components"]["schemas"]
    assert "swagger" in gateway.http.get("/docs").text


def _schema(document: dict, content: dict) -> dict:
    return document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
