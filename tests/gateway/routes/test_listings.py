"""Listings that tasks declare."""

from __future__ import annotations

from tests.support.gateway_processes import GatewayProcess


def test_lists_the_questions_of_analyze(gateway: GatewayProcess) -> None:
    listing = gateway.http.get("/v1/vision/tasks").json()
    assert listing["object"] == "list"
    assert [item["id"] for item in listing["data"]] == ["caption", "ocr", "describe", "analyze", "objects", "custom"]
    assert {bool(item["prompt"]) for item in listing["data"] if item["id"] != "custom"} == {True}
    assert listing["data"][-1]["prompt"] is None
    assert all(item["description"] for item in listing["data"])
    assert "/v1/vision/tasks" in gateway.http.get("/openapi.json").json()["paths"]
