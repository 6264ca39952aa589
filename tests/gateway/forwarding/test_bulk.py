"""Large values of a JSON text pass a translation unread."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.tasks import all_tasks
from gateway.forwarding.bulk import SMALLEST, Bulk, bulk_keys

TEXT = 'A"\\/é\n' * SMALLEST
NUMBERS = [[[0.25, -1e-7, 3], [1, 2, 3]] for _ in range(SMALLEST)]


@pytest.mark.parametrize("value", [TEXT, NUMBERS, "x" * SMALLEST, [0.5] * SMALLEST, [None, [True]] * SMALLEST])
@pytest.mark.parametrize("indent", [None, 2])
def test_large_value_comes_back_as_it_was(value: Any, indent: int | None) -> None:
    bulk = Bulk(frozenset({"data", "png"}))
    document = {"data": [{"shape": [1], "depth": {"data": value}, "n": 1}], "label": 'says "data": "x"'}
    short = bulk.take_out(json.dumps(document, indent=indent).encode())
    assert len(short) < SMALLEST
    parsed = json.loads(short)
    moved = {"images": [parsed["data"][0]["depth"]["data"], 1], "label": parsed["label"]}
    assert json.loads(b"".join(bulk.put_back(json.dumps(moved).encode()))) == {
        "images": [value, 1],
        "label": document["label"],
    }


@pytest.mark.parametrize("after", ["", ', "n": 1', ', "list": [1, 2, {"data": "small"}]'])
def test_value_ends_where_json_says(after: str) -> None:
    for value in (TEXT, NUMBERS, "\\" * SMALLEST, '"' * SMALLEST):
        bulk = Bulk(frozenset({"data"}))
        text = f'[{{"data": {json.dumps(value)}{after}}}, [3]]'.encode()
        short = bulk.take_out(text)
        assert len(short) < 200
        assert json.loads(b"".join(bulk.put_back(short))) == json.loads(text)


def test_value_can_become_part_of_a_longer_text() -> None:
    bulk = Bulk(frozenset({"png"}))
    short = json.loads(bulk.take_out(json.dumps({"png": "A" * SMALLEST}).encode()))
    uri = json.dumps("data:image/png;base64," + short["png"]).encode()
    assert json.loads(b"".join(bulk.put_back(uri))) == "data:image/png;base64," + "A" * SMALLEST


@pytest.mark.parametrize(
    "document",
    [
        {"data": "small"},
        {"data": [1, 2, 3]},
        {"data": [{"text": "x" * SMALLEST}]},
        {"data": [[1, 2], "x" * SMALLEST]},
        {"data": [[1, 2], {"data": 1}] * SMALLEST},
        {"data": []},
        {"data": None, "text": [1] * SMALLEST},
        {"text": '"data": "' + "x" * SMALLEST},
        {"text": '\\"data\\": [' + "1," * SMALLEST},
        {"other": "x" * SMALLEST},
    ],
)
def test_everything_else_stays(document: dict[str, Any]) -> None:
    bulk = Bulk(frozenset({"data"}))
    assert bulk.take_out(json.dumps(document).encode()) == json.dumps(document).encode()


def test_text_that_looks_like_a_value_is_none() -> None:
    bulk = Bulk(frozenset({"data"}))
    document = {"data": "x" * SMALLEST, "label": "0123456789abcdef:0;"}
    assert json.loads(b"".join(bulk.put_back(bulk.take_out(json.dumps(document).encode())))) == document


@pytest.mark.parametrize(
    ("task", "keys"),
    [
        ("depth", {"data"}),
        ("pointcloud", {"data"}),
        ("features", {"data", "pooled"}),
        ("segment", {"png"}),
        ("image-generation", {"b64_json"}),
        ("chat", set()),
    ],
)
def test_arrays_and_images_are_bulk(task: str, keys: set[str]) -> None:
    assert keys <= bulk_keys(all_tasks()[task].response)
    assert "text" not in bulk_keys(all_tasks()[task].response)
