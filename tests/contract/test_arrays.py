"""Arrays: every encoding holds the same numbers, and numpy reads what we write without it."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from contract.arrays import Array, arrays_in, as_list, as_png, holds_arrays, npz
from contract.tasks import all_tasks

RAMP = np.linspace(-1.5, 9, 12, dtype="<f4").reshape(3, 4)


class Part(BaseModel):
    shape: tuple[int, ...]
    data: Array


class Item(BaseModel):
    depth: Part | None = None
    parts: list[Part] = []
    note: str = "ü"


class Whole(BaseModel):
    data: list[Item]


def part(values: Any, **arguments: Any) -> Part:
    return Part(shape=values.shape, data=Array.from_numpy(values, **arguments))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16", "int32", "int64"])
@pytest.mark.parametrize("shape", [(0,), (5,), (3, 4), (2, 3, 2), (0, 3)])
def test_base64_lists_and_npy_hold_the_same_numbers(dtype: str, shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    array = Array.from_numpy(values)
    decoded = np.frombuffer(base64.b64decode(array.as_json()), dtype).reshape(shape)
    assert np.array_equal(decoded, values)
    assert np.array_equal(np.array(as_list(array), dtype).reshape(shape), values)
    loaded = np.load(io.BytesIO(array.npy()))
    assert (loaded.dtype, loaded.shape, loaded.tobytes()) == (values.dtype, values.shape, values.tobytes())


def test_rejects_a_shape_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="24 bytes do not make a float32 array of shape"):
        Array("float32", (2, 2), memoryview(bytes(24)))


@pytest.mark.parametrize(
    ("dtype", "shape", "mode"), [("uint8", (3, 5), "L"), ("uint16", (3, 5), "I;16"), ("uint8", (3, 5, 3), "RGB")]
)
def test_png_holds_numbers_and_metadata(dtype: str, shape: tuple[int, ...], mode: str) -> None:
    values = (np.arange(np.prod(shape)) * 1000).astype(dtype).reshape(shape)
    encoded = as_png(Array.from_numpy(values, metadata={"scale": "0.5"}))
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert image.mode == mode
        assert image.text["scale"] == "0.5"
        assert np.array_equal(np.asarray(image), values)


def test_encode_sets_the_json_value() -> None:
    document = json.loads(part(RAMP, encode=as_list).model_dump_json())
    assert document == {"shape": [3, 4], "data": RAMP.tolist()}


def test_npz_holds_arrays_by_path_and_the_rest() -> None:
    response = Whole(data=[Item(depth=part(RAMP)), Item(parts=[part(RAMP[:1]), part(RAMP[1:], encode=as_list)])])
    assert list(arrays_in(response)) == ["0.depth", "1.parts.0", "1.parts.1"]
    before = response.model_dump_json()
    with np.load(io.BytesIO(npz(response))) as file:
        assert np.array_equal(file["0.depth"], RAMP)
        assert np.array_equal(file["1.parts.1"], RAMP[1:])
        rest = json.loads(file["answer.json"])
    assert rest["data"][0]["depth"] == {"shape": [3, 4], "data": "0.depth"}
    assert rest["data"][1]["note"] == "ü"
    assert response.model_dump_json() == before


def test_knows_which_responses_may_hold_arrays() -> None:
    with_arrays = {name for name, task in all_tasks().items() if holds_arrays(task.response)}
    assert with_arrays == {"depth", "pointcloud", "features", "segment"}


def test_parsed_json_serializes_unchanged() -> None:
    serialized = Whole(data=[Item(depth=part(RAMP))]).model_dump_json()
    assert Whole.model_validate_json(serialized).model_dump_json() == serialized
