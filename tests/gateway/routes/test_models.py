"""GET /v1/models: OpenAI's fields and ours."""

from __future__ import annotations

import httpx2
import pytest

from tests.support.fake_models import MODELS
from tests.support.gateway_processes import GatewayProcess


def test_lists_models_in_openais_format_and_ours(gateway: GatewayProcess) -> None:
    listing = gateway.http.get("/v1/models").json()
    assert listing["object"] == "list"
    assert listing["count"] == len(listing["data"]) == len(listing["models"]) >= len(MODELS)
    entry = next(entry for entry in listing["data"] if entry["id"] == "ok")
    expected = {"object": "model", "created": 1, "name": "ok", "engine": "fake", "state": "stopped"}
    assert entry.items() >= expected.items()
    assert entry["tasks"] == ["chat", "embeddings", "ocr", "image-generation"]
    missing = gateway.http.get("/v1/models/missing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


def test_presets_are_listed_as_models(gateway: GatewayProcess) -> None:
    listing = {entry["id"]: entry for entry in gateway.http.get("/v1/models").json()["data"]}
    assert listing["pirate"]["preset_of"] == "ok"
    assert (listing["pirate"]["tasks"], listing["pirate"]["aliases"]) == (listing["ok"]["tasks"], [])
    assert gateway.http.get("/v1/models/pirate").json() == listing["pirate"]
    assert gateway.http.get("/v1/models/fine").json() == listing["ok"], "an alias is no model of its own"


def test_tells_the_facts_of_a_model(gateway: GatewayProcess) -> None:
    reader = gateway.http.get("/v1/models/reader").json()
    assert (reader["context_length"], reader["max_model_len"], reader["dimensions"]) == (99, 99, None)
    assert (reader["size_bytes"], reader["memory_bytes"], reader["quantization"]) == (7, 9, None)
    assert (reader["input_modalities"], reader["output_modalities"]) == (["image"], ["text"])
    assert reader["meta"] == {"n_ctx": 99}
    ok = gateway.http.get("/v1/models/ok").json()
    assert ok["architecture"] == {name: ok[name] for name in ("input_modalities", "output_modalities")}
    assert ok["input_modalities"] == ["text", "image"]
    assert ok["output_modalities"] == ["text", "embedding", "image"]


def test_lists_the_models_of_a_task(gateway: GatewayProcess) -> None:
    listing = gateway.http.get("/v1/models", params={"task": "ocr"}).json()
    assert {"ok", "reader"} <= {entry["id"] for entry in listing["data"]}
    assert all("ocr" in entry["tasks"] for entry in listing["data"])
    assert listing["count"] == len(listing["data"])
    unknown = gateway.http.get("/v1/models", params={"task": "dance"})
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "task")
    assert "image-generation" in unknown.json()["error"]["message"]


def test_describes_a_model_as_llama_cpp_s_server_does(gateway: GatewayProcess) -> None:
    props = gateway.http.get("/props", params={"model": "fine"}).json()
    assert props["model_alias"] == "ok"
    assert props["default_generation_settings"] == {"n_ctx": 0}
    assert props["modalities"] == {"vision": True, "audio": False}
    assert props["chat_template_caps"] == {"supports_tools": False}
    assert gateway.http.get("/props").json() == props, "the default chat model"
    for name, code in (("missing", "model_not_found"), ("reader", "unsupported_task"), ("external", "not_found")):
        refused = gateway.http.get("/props", params={"model": name}).json()["error"]
        assert refused["code"] == code
    assert "/upstream/external/props" in refused["message"]


@pytest.mark.parametrize("path", ["/models", "/models/", "//v1/models", "/v1//models/", "/v1/models/"])
def test_finds_the_list_that_clients_mean(gateway: GatewayProcess, path: str) -> None:
    assert get(gateway, path).json() == get(gateway, "/v1/models").json()


def test_finds_other_paths_that_clients_mean(gateway: GatewayProcess) -> None:
    assert get(gateway, "/models/ok").json() == get(gateway, "//v1/models/ok").json()
    assert get(gateway, "//api/tags/").json() == get(gateway, "/api/tags").json()
    assert get(gateway, "/props/").json() == get(gateway, "/props").json()
    assert get(gateway, "//api/show").status_code == 405
    assert get(gateway, "//nothing/").status_code == 404


def get(gateway: GatewayProcess, path: str) -> httpx2.Response:
    """The answer at a path, which a client would read as the name of a host without the address before it."""
    return gateway.http.get(str(gateway.http.base_url).rstrip("/") + path)
