"""Runs depth engines with tiny models."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.depth import DepthItem, DepthRequest
from contract.tasks.pointcloud import PointcloudItem, PointcloudRequest
from tests.support.odd_images import drawing, encoded
from workers.engine import Call, Device
from workers.engines.depth_anything import DepthAnything
from workers.registry import find_engine

DepthEngine = Callable[..., DepthAnything]
"""Loads the engine with a family's tiny model: `depth_engine("depth_metric", batch_size=2)`."""
IMAGE = drawing()
INVERTED = ImageOps.invert(drawing())
TALL = INVERTED.resize((50, 120))
CAMERA = {"fx": 64.0, "fy": 60.0, "cx": 39.5, "cy": 30.0}


def load(folder: Path, dtype: str = "float32", **options: Any) -> DepthAnything:
    engine = find_engine("depth_anything")()
    assert isinstance(engine, DepthAnything)
    options = {"threads": 1, **options}
    spec = ModelSpec(id=folder.name, engine="depth_anything", source=str(folder), options=options)
    engine.load(spec, Device("cpu", dtype))
    return engine


def depth(*images: Image.Image, **fields: Any) -> Call[DepthRequest]:
    return Call(DepthRequest.model_validate({"images": [encoded(image) for image in images], **fields}))


def cloud(*images: Image.Image, **fields: Any) -> Call[PointcloudRequest]:
    return Call(PointcloudRequest.model_validate({"images": [encoded(image) for image in images], **fields}))


def answers(engine: DepthAnything, *calls: Call[Any]) -> list[Any]:
    """The response or ServeError of each call; all calls are of one task and answered together."""
    method = engine.depth if isinstance(calls[0].request, DepthRequest) else engine.points
    answered = dict(method(list(calls)))
    return [answered[call] for call in calls]


def response(engine: DepthAnything, call: Call[Any]) -> Any:
    """The response to one call. Fails the test if it is an error."""
    [answer] = answers(engine, call)
    assert not isinstance(answer, ServeError), answer.message
    return answer


def depth_item(engine: DepthAnything, image: Image.Image = IMAGE, **fields: Any) -> DepthItem:
    item: DepthItem = response(engine, depth(image, **fields)).data[0]
    return item


def cloud_item(engine: DepthAnything, image: Image.Image = IMAGE, **fields: Any) -> PointcloudItem:
    item: PointcloudItem = response(engine, cloud(image, **fields)).data[0]
    return item


def refusal(engine: DepthAnything, call: Call[Any], valid_call: Call[Any]) -> ServeError:
    """The error of a call that is batched with a valid one, which succeeds."""
    error, answer = answers(engine, call, valid_call)
    assert not isinstance(answer, ServeError), answer.message
    assert isinstance(error, ServeError)
    return error


def values(part: Any) -> Any:
    """The numpy array in an Array, or in a part of an answer that holds one."""
    array = getattr(part, "data", part)
    array = getattr(array, "data", array) if not hasattr(array, "dtype") else array
    return np.frombuffer(array.data, array.dtype).reshape(array.shape)


def read_ply(content: bytes) -> Any:
    """The vertices of a binary PLY file, as a structured array."""
    header, _, body = content.partition(b"end_header\n")
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    [count] = [int(line.split()[2]) for line in lines if line.startswith("element vertex ")]
    dtypes = {"float": "<f4", "uchar": "u1"}
    fields = [(line.split()[2], dtypes[line.split()[1]]) for line in lines if line.startswith("property ")]
    vertices = np.frombuffer(body, fields)
    assert len(vertices) == count
    return vertices


def decoded_image(content: bytes) -> Image.Image:
    """The image in a file."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image
