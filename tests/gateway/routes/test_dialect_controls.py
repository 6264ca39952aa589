"""Loading, unloading and the state of models in dialects, and the health page with other servers' fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.gateway_processes import FakeManagerProcess, GatewayProcess, eventually
from tests.support.seed_examples import VISION_SERVER

SAM3 = {
    "model_type": "sam3", "model_id": "facebook/sam3", "model": "segment-anything", "device": "cuda", "loaded": True,
    "state": "ready", "memory_mb": 1024.0, "pinned": False,
}  # fmt: skip


def test_status_has_every_model_type_and_the_devices(gateway: GatewayProcess) -> None:
    page = gateway.http.get("/models/status").json()
    assert page["models"].keys() == {"sam3", "grounding_dino", "depth_anything", "dinov3"}
    assert page["models"]["sam3"] == SAM3, "found by its source, whatever its entry is called"
    assert page["models"]["dinov3"] == {
        "model_type": "dinov3", "model_id": None, "model": None, "device": None, "loaded": False,
        "state": "not configured", "memory_mb": None, "pinned": False,
    }  # fmt: skip
    assert page["total_memory_mb"] == 1024.0
    assert page["devices"] == [
        {"id": "GPU-1", "name": "A GPU", "kind": "cuda", "total_mb": 8192, "used_mb": 2048, "free_mb": 6144}
    ]


@pytest.mark.parametrize(
    ("fields", "status", "query"),
    [
        ({}, 200, "wait=true"),
        ({"wait": False}, 202, "wait=false"),
        ({"keep_alive": "1m"}, 200, "wait=true&keep_alive=60.0"),
    ],
)
def test_load_starts_the_model_of_the_type(
    gateway: GatewayProcess, manager: FakeManagerProcess, fields: dict[str, Any], status: int, query: str
) -> None:
    answer = gateway.http.post("/models/load", json=json.loads(VISION_SERVER["load"]) | fields)
    assert (answer.status_code, answer.json()["message"]) == (status, "Model sam3 loaded successfully")
    assert answer.json()["model_info"] == SAM3
    assert "warnings" not in answer.json()
    assert manager.orders()[-1] == {"path": "/load/segment-anything", "query": query}


def test_load_warns_of_another_device_and_unknown_fields(gateway: GatewayProcess) -> None:
    answer = gateway.http.post("/models/load", json={"model_type": "sam3", "device": "cpu", "odd": 1})
    [unknown, device] = answer.json()["warnings"]
    assert "`odd`" in unknown
    assert device.startswith("`device`: the model runs on cuda, and not on cpu.")


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        ({"model_type": "sam2"}, 400, "model_type", "'sam3', 'grounding_dino'"),
        ({}, 400, "model_type", "required"),
        ({"model_type": "dino-v3"}, 400, "model_type", "'dinov3'"),
        ({"model_type": "grounding-dino"}, 404, "model_id", "make models MODEL=grounding-dino"),
        ({"model_type": "sam3", "model_id": "facebook/nothing"}, 404, "model_id", "facebook/nothing"),
    ],
)
def test_wrong_models_are_refused(
    gateway: GatewayProcess, body: dict[str, Any], status: int, param: str, words: str
) -> None:
    for path in ("/models/load", "/models/unload"):
        answer = gateway.http.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
        assert words in answer.json()["error"]["message"]


def test_one_model_is_loaded_and_pinned_without_reading_all(
    gateway: GatewayProcess, manager: FakeManagerProcess
) -> None:
    before = len(manager.control()["reads"])
    manager.control("event", {"type": "state", "model": "segment-anything", "from": "stopped", "to": "starting"})
    manager.control("event", {"type": "state", "model": "segment-anything", "from": "starting", "to": "ready"})
    for path in ("/models/load", "/models/pin", "/models/unpin"):
        assert gateway.http.post(path, json={"model_type": "sam3"}).json()["model_info"] == SAM3
    one = {"/status?model=segment-anything", "/models?model=segment-anything"}
    eventually(lambda: {*manager.control()["reads"][before:]} == one)
    assert {model["id"] for model in gateway.http.get("/v1/models").json()["data"]} > {"segment-anything"}


def test_unload_stops_one_model_or_all(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    answer = gateway.http.post("/models/unload", json={"model_type": "sam3"})
    assert answer.json() == {"message": "Model sam3 unloaded successfully"}
    assert manager.orders()[-1]["path"] == "/evict/segment-anything"
    answer = gateway.http.post("/models/unload-all")
    assert answer.json() == {"message": "All models unloaded successfully"}
    evicted = {request["path"] for request in manager.orders()[-2:]}
    assert evicted == {"/evict/segment-anything", "/evict/our-vlm"}, "those that have a worker"


def test_only_admins_unload(secured: GatewayProcess) -> None:
    for path in ("/models/unload", "/models/unload-all"):
        answer = secured.http.post(path, json={"model_type": "sam3"}, headers={"x-api-key": "app-key"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert secured.http.get("/models/status").status_code == 401


def test_health_has_the_fields_of_both_servers(secured: GatewayProcess) -> None:
    page = secured.http.get("/health").json()
    assert secured.http.get("/v1/health").json().keys() == page.keys()
    assert isinstance(page.pop("request_counter"), int)
    assert page == {
        "status": "healthy",
        "device": "cuda:0",
        "worker_id": 0,
        "gpu_id": 0,
        "gpu_count": 1,
        "models_loaded": ["segment-anything", "our-vlm"],
        "total_model_instances": 2,
        "loaded_models": ["sam3"],
        "available_memory_gb": 6.0,
        "gpu_available": True,
        "configuration_valid": True,
    }


def test_request_counter_counts_requests_for_models(gateway: GatewayProcess) -> None:
    before = gateway.http.get("/health").json()["request_counter"]
    gateway.http.post("/v1/embeddings", json={"model": "ok", "input": "x"})
    assert gateway.http.get("/health").json()["request_counter"] == before + 1
