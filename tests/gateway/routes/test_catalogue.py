"""GET /api/models: the catalogue joined with configured models, filters, names, and suggestions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract import catalogue
from tests.support.gateway_processes import FakeManagerProcess, GatewayProcess, configuration, key, run_gateway


def listed(gateway: GatewayProcess, path: str = "") -> dict[str, dict[str, Any]]:
    answer = gateway.http.get(f"/api/models{path}").json()
    rows = {row["id"]: row for row in answer["models"]}
    assert len(rows) == answer["count"], "ids are unique"
    return rows


def test_lists_known_and_configured_models(gateway: GatewayProcess) -> None:
    rows = listed(gateway)
    assert {model.id for model in catalogue.load()} <= rows.keys()
    assert {"ok", "org/slashed", "external"} <= rows.keys()
    sam = rows["sam3"]
    assert sam.items() >= {"team": "Meta", "hub": "facebook/sam3", "gated": True, "size_mb": 3440}.items()
    assert sam["tasks"] == ["segment"]
    assert sam["entry"]["source"] == "facebook/sam3"
    assert sam["memory_gb"].keys() == {"float32", "bfloat16"}
    assert (sam["configured"], sam["state"], sam["downloaded"]) == (None, None, True)
    assert (rows["dinov3"]["downloaded"], rows["dinov3"]["dimensions"]) == (False, 768)
    assert rows["vlm-best"]["apple"]["entry"]["engine"] == "mlx"


def test_says_what_is_on_this_machine(gateway: GatewayProcess) -> None:
    rows = listed(gateway)
    copies = {id_: (row["downloaded"], row["partly_downloaded"], row["disk_bytes"]) for id_, row in rows.items()}
    assert copies["sam3"] == (True, False, 3_440_000_000)
    assert copies["dinov3"] == (False, True, 170_000_000)
    assert copies["bge"] == (None, False, 0)
    assert copies["ok"] == (True, False, 7)
    download = rows["dinov3"]["download"]
    assert (download["state"], download["bytes"], download["total"]) == ("running", 170_000_000, 343_000_000)
    assert rows["sam3"]["download"] is None


def test_says_in_which_precision_a_model_fits(gateway: GatewayProcess) -> None:
    """The fake manager has 12 GiB."""
    rows = listed(gateway)
    expected = {
        "sam3": (True, ["float32", "bfloat16"]),
        "smolvlm-2b": (True, ["float32", "bfloat16", "8bit", "4bit"]),
        "vlm-best": (True, ["8bit", "4bit"]),
        "image-gen": (True, ["4bit"]),
        "ok": (None, None),
    }
    assert {id_: (rows[id_]["fits"], rows[id_]["fits_in"]) for id_ in expected} == expected


def test_recognizes_a_configured_model_by_its_source(gateway: GatewayProcess) -> None:
    row = listed(gateway)["vlm-best"]
    assert (row["configured"], row["state"], row["downloaded"]) == ("our-vlm", "ready", True)
    assert row["tasks"] == ["chat"], "the tasks of the entry, not of the catalogue"
    unknown = listed(gateway)["ok"]
    assert (unknown["configured"], unknown["licence"], unknown["memory_gb"]) == ("ok", None, None)


def test_filters_by_task(gateway: GatewayProcess) -> None:
    rows = listed(gateway, "/embeddings")
    assert {"minilm", "clip", "ok", "org/slashed"} <= rows.keys()
    assert all("embeddings" in row["tasks"] for row in rows.values())
    assert listed(gateway, "/").keys() == listed(gateway).keys()
    for word in ("embedding", "text_embedding", "text-embedding"):
        assert listed(gateway, f"/{word}").keys() == rows.keys()


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("sam3", "sam3"),
        ("facebook/sam3", "sam3"),
        ("schnell", "image-gen"),
        ("our-vlm", "vlm-best"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "vlm-best"),
        ("org/slashed", "org/slashed"),
    ],
)
def test_finds_a_model_by_any_of_its_names(gateway: GatewayProcess, name: str, id_: str) -> None:
    assert gateway.http.get(f"/api/models/{name}").json() == listed(gateway)[id_]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("sam4", "'sam3'"),
        ("qwen2.5-vl-7b", "'Qwen/Qwen2.5-VL-7B-Instruct'"),
        ("embedings", "Did you mean 'embeddings'"),
        ("zzz", "There is no model or task 'zzz'. GET /api/models lists all"),
    ],
)
def test_unknown_name_suggests_similar_ones(gateway: GatewayProcess, name: str, near: str) -> None:
    answer = gateway.http.get(f"/api/models/{name}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["details"]["model_id"]) == (404, "MODEL_NOT_FOUND", name)
    assert near in error["message"]


def test_requires_a_key(manager: FakeManagerProcess, tmp_path: Path) -> None:
    settings = configuration(manager.port, security={"api_keys": [key("me", "secret")]})
    with run_gateway(tmp_path, settings) as gateway:
        assert gateway.http.get("/api/models").status_code == 401
        assert gateway.http.get("/api/models", headers={"x-api-key": "secret"}).status_code == 200


def test_known_model_without_entry_points_to_the_catalogue(gateway: GatewayProcess) -> None:
    answer = gateway.http.get("/v1/models/rt-detr")
    assert answer.status_code == 404
    assert "`make models MODEL=rt-detr` shows one" in answer.json()["error"]["message"]
