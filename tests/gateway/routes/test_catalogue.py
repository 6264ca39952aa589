"""GET /api/models: the catalogue beside what is configured, one model by any of its names, and what is near."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract import catalogue
from tests.support.gateway_processes import Gateway, Manager, configuration, key, run_gateway


def listed(gateway: Gateway, path: str = "") -> dict[str, dict[str, Any]]:
    answer = gateway.http.get(f"/api/models{path}").json()
    rows = {row["id"]: row for row in answer["models"]}
    assert len(rows) == answer["count"], "an id stands there once"
    return rows


def test_all_that_is_known_or_configured_is_listed(gateway: Gateway) -> None:
    rows = listed(gateway)
    assert {model.id for model in catalogue.load()} <= rows.keys()
    assert {"ok", "org/slashed", "foreign"} <= rows.keys()
    sam = rows["sam3"]
    assert sam.items() >= {"team": "Meta", "hub": "facebook/sam3", "gated": True, "size_mb": 3440}.items()
    assert sam["tasks"] == ["segment"]
    assert sam["entry"]["source"] == "facebook/sam3"
    assert sam["memory_gb"].keys() == {"float32", "bfloat16"}
    assert (sam["configured"], sam["state"], sam["downloaded"]) == (None, None, True)
    assert (rows["dinov3"]["downloaded"], rows["dinov3"]["dimensions"]) == (False, 768)
    assert rows["vlm-best"]["apple"]["entry"]["engine"] == "mlx"


def test_a_configured_model_is_recognised_by_what_it_runs(gateway: Gateway) -> None:
    row = listed(gateway)["vlm-best"]
    assert (row["configured"], row["state"], row["downloaded"]) == ("our-eyes", "ready", True)
    assert row["tasks"] == ["chat"], "what it does here, not what it could do"
    stranger = listed(gateway)["ok"]
    assert (stranger["configured"], stranger["licence"], stranger["memory_gb"]) == ("ok", None, None)


def test_a_tasks_name_filters(gateway: Gateway) -> None:
    rows = listed(gateway, "/embeddings")
    assert {"minilm", "clip", "ok", "org/slashed"} <= rows.keys()
    assert all("embeddings" in row["tasks"] for row in rows.values())
    assert listed(gateway, "/").keys() == listed(gateway).keys()


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("sam3", "sam3"),
        ("facebook/sam3", "sam3"),
        ("schnell", "image-gen"),
        ("our-eyes", "vlm-best"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "vlm-best"),
        ("org/slashed", "org/slashed"),
    ],
)
def test_one_model_by_any_of_its_names(gateway: Gateway, name: str, id_: str) -> None:
    assert gateway.http.get(f"/api/models/{name}").json() == listed(gateway)[id_]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("sam4", "'sam3'"),
        ("qwen2.5-vl-7b", "'Qwen/Qwen2.5-VL-7B-Instruct'"),
        ("embedding", "Did you mean 'embeddings'"),
        ("zzz", "There is no model or task 'zzz'. GET /api/models lists all"),
    ],
)
def test_an_unknown_name_is_told_what_is_near(gateway: Gateway, name: str, near: str) -> None:
    answer = gateway.http.get(f"/api/models/{name}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]["model_id"]) == (404, "model_not_found", name)
    assert near in error["message"]


def test_a_key_is_asked_for_as_everywhere(manager: Manager, tmp_path: Path) -> None:
    settings = configuration(manager.port, security={"api_keys": [key("me", "secret")]})
    with run_gateway(tmp_path, settings) as gateway:
        assert gateway.http.get("/api/models").status_code == 401
        assert gateway.http.get("/api/models", headers={"x-api-key": "secret"}).status_code == 200


def test_a_known_model_without_an_entry_is_told_as_such(gateway: Gateway) -> None:
    answer = gateway.http.get("/v1/models/rt-detr")
    assert answer.status_code == 404
    assert "`make models MODEL=rt-detr` shows one" in answer.json()["error"]["message"]
