"""Large values of a JSON text pass a translation unread."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.tasks import all_tasks
from gateway.forwarding.bulk import Bulk, bulk_keys
from gateway.forwarding.bulk_reader import SMALLEST, BulkReader

TEXT = 'A"\\/é\n' * SMALLEST
NUMBERS = [[[0.25, -1e-7, 3], [1, 2, 3]] for _ in range(SMALLEST)]

SIZES = [1, 7, 64 * 1024]
"""Bytes of the chunks in which a text arrives."""


def take_out(bulk: Bulk, body: bytes, size: int = 7) -> bytes:
    """The text without its large values, when it arrives in chunks of this size."""
    reader = BulkReader(bulk)
    for start in range(0, len(body), size):
        reader.feed(body[start : start + size])
    return reader.text()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("value", [TEXT, NUMBERS, "x" * SMALLEST, [0.5] * SMALLEST, [None, [True]] * SMALLEST])
@pytest.mark.parametrize("indent", [None, 2])
def test_large_value_comes_back_as_it_was(value: Any, indent: int | None, size: int) -> None:
    bulk = Bulk(frozenset({"data", "png"}))
    document = {"data": [{"shape": [1], "depth": {"data": value}, "n": 1}], "label": 'says "data": "x"'}
    short = take_out(bulk, json.dumps(document, indent=indent).encode(), size)
    assert len(short) < SMALLEST
    parsed = json.loads(short)
    moved = {"images": [parsed["data"][0]["depth"]["data"], 1], "label": parsed["label"]}
    assert json.loads(b"".join(bulk.put_back(json.dumps(moved).encode()))) == {
        "images": [value, 1],
        "label": document["label"],
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("after", ["", ', "n": 1', ', "list": [1, 2, {"data": "small"}]'])
def test_value_ends_where_json_says(after: str, size: int) -> None:
    for value in (TEXT, NUMBERS, "\\" * SMALLEST, '"' * SMALLEST):
        bulk = Bulk(frozenset({"data"}))
        text = f'[{{"data": {json.dumps(value)}{after}}}, [3]]'.encode()
        short = take_out(bulk, text, size)
        assert len(short) < 200
        assert json.loads(b"".join(bulk.put_back(short))) == json.loads(text)


def test_value_can_become_part_of_a_longer_text() -> None:
    bulk = Bulk(frozenset({"png"}))
    short = json.loads(take_out(bulk, json.dumps({"png": "A" * SMALLEST}).encode()))
    uri = json.dumps("data:image/png;base64," + short["png"]).encode()
    assert json.loads(b"".join(bulk.put_back(uri))) == "data:image/png;base64," + "A" * SMALLEST


@pytest.mark.parametrize("size", SIZES)
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
        {"data": [[1, 2]] * SMALLEST + ["x"], "text": "x"},
        {"data": [[1, 2]] * SMALLEST + [{}]},
    ],
)
def test_everything_else_stays(document: dict[str, Any], size: int) -> None:
    bulk = Bulk(frozenset({"data"}))
    assert take_out(bulk, json.dumps(document).encode(), size) == json.dumps(document).encode()


def test_broken_text_stays() -> None:
    for end in ("", "\\", "[1, 2"):
        text = f'{{"data": "{"x" * SMALLEST}{end}'.encode()
        assert take_out(Bulk(frozenset({"data"})), text) == text
        numbers = b'{"data": [' + b"1, " * SMALLEST
        assert take_out(Bulk(frozenset({"data"})), numbers) == numbers


def test_text_that_looks_like_a_value_is_none() -> None:
    bulk = Bulk(frozenset({"data"}))
    document = {"data": "x" * SMALLEST, "label": "0123456789abcdef:0;"}
    assert json.loads(b"".join(bulk.put_back(take_out(bulk, json.dumps(document).encode())))) == document


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


def test_another_answers_mark_stands_for_no_value() -> None:
    bulk = Bulk(frozenset({"data"}))
    kept = bulk.keep([b'"', b"x" * 100, b'"'])
    others = b'["0123456789abcdef:0;", "cafe0123456789abcdef:0;", "f' + kept[1:-1] + b'"]'
    body = b'{"data": ' + kept + b', "other": ' + others + b"}"
    values = b'["0123456789abcdef:0;", "cafe0123456789abcdef:0;", "f' + b"x" * 100 + b'"]'
    assert b"".join(bulk.put_back(body)) == b'{"data": "' + b"x" * 100 + b'", "other": ' + values + b"}"
