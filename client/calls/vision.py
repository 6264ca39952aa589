"""The vision tasks: one image in, and what a model saw in it out. Coordinates are pixels of the upright image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from client.call import ApiCall, body_of, known_fields
from client.calls.arrays import Numbers, bytes_of, floats
from client.images import ImageSource, decode_image, image_value

Corners = tuple[float, float, float, float]
"""`(x0, y0, x1, y1)`: the top left and the bottom right corner."""
Prompt = str | Sequence[str]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object in an image, with the model's score from 0 to 1."""

    label: str
    score: float
    box: Corners


@dataclass(frozen=True, slots=True)
class FoundSegment:
    """A segment of an image. `mask` is an array of bool, (height, width); `area` is in pixels."""

    label: str | None
    score: float
    box: Corners
    area: int
    mask: Numbers = field(repr=False)


@dataclass(frozen=True, slots=True)
class EstimatedDepth:
    """The depth of every pixel as float32, (height, width).

    `kind` is `depth` (larger is farther) or `disparity` (larger is nearer), `unit` is `metre` or `relative`.
    """

    depth: Numbers = field(repr=False)
    kind: str
    unit: str
    min: float
    max: float
    confidence: Numbers | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PointCloud:
    """Points in the camera's frame as float32, (n, 3); `colors` is uint8, (n, 3)."""

    points: Numbers = field(repr=False)
    unit: str
    camera_intrinsics: dict[str, float]
    colors: Numbers | None = field(default=None, repr=False)
    depth: Numbers | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ImageVectors:
    """The vectors of an image, float32: `pooled` (dimensions), `patches` (rows, columns, dimensions)."""

    dimensions: int
    pooled: Numbers | None = field(default=None, repr=False)
    patches: Numbers | None = field(default=None, repr=False)
    tokens: Numbers | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text with its score and its corners, clockwise from the top left."""

    text: str
    score: float
    polygon: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class TextInImage:
    """The text in an image, whole and line by line."""

    text: str
    lines: list[TextLine] = field(default_factory=list)


def detect(
    image: ImageSource, prompt: Prompt | None = None, *, model: str | None = None, **fields: Any
) -> ApiCall[list[FoundObject]]:
    """Find objects; `prompt` is a label or a list of labels. `fields`: `box_threshold`, `max_detections` and others."""
    body = _body(image, model, prompt=prompt, **fields)
    return _call("detect", body, lambda item: [_object(row) for row in item["detections"]])


def segment(
    image: ImageSource,
    prompt: Prompt | None = None,
    *,
    prompts: Sequence[Mapping[str, Any]] | None = None,
    automatic: bool | None = None,
    model: str | None = None,
    **fields: Any,
) -> ApiCall[list[FoundSegment]]:
    """Masks of what `prompt` names, of `prompts` with boxes and points, or with `automatic` of everything."""
    body = _body(image, model, prompt=prompt, prompts=prompts, automatic=automatic, **fields) | {"format": "dense"}
    return _call("segment", body, lambda item: [_segment(row) for row in item["segments"]])


def depth(image: ImageSource, *, model: str | None = None, **fields: Any) -> ApiCall[EstimatedDepth]:
    """The distance of every pixel from the camera. `fields`: `max_depth`, `model_input_size` and others."""
    return _call("depth", _body(image, model, **fields), _depth)


def pointcloud(
    image: ImageSource,
    camera_intrinsics: Mapping[str, float] | None = None,
    *,
    model: str | None = None,
    colors: bool | None = None,
    **fields: Any,
) -> ApiCall[PointCloud]:
    """The points that an image shows. `camera_intrinsics` are `fx`, `fy`, `cx` and `cy` in pixels."""
    body = _body(image, model, camera_intrinsics=camera_intrinsics, colors=colors, **fields)
    return _call("pointcloud", body, _points)


def features(
    image: ImageSource, *, model: str | None = None, patches: bool | None = None, **fields: Any
) -> ApiCall[ImageVectors]:
    """The vector of an image and, with `patches`, those of its patches."""
    body = _body(image, model, patches=patches, **fields) | {"encoding_format": "base64"}
    return _call("features", body, _vectors)


def caption(image: ImageSource, prompt: str | None = None, *, model: str | None = None, **fields: Any) -> ApiCall[str]:
    """A sentence that describes an image."""
    return _call("caption", _body(image, model, prompt=prompt, **fields), lambda item: str(item["text"]))


def ocr(
    image: ImageSource, *, languages: Sequence[str] | None = None, model: str | None = None, **fields: Any
) -> ApiCall[TextInImage]:
    """The text in an image."""
    return _call("ocr", _body(image, model, languages=languages, **fields), _text)


def analyze(
    image: ImageSource, prompt: str | None = None, *, task: str | None = None, model: str | None = None
) -> ApiCall[str]:
    """A chat model's answer about an image, to your own question or to one of `GET /v1/vision/tasks`."""
    body = _body(image, model, prompt=prompt, task=task)
    return ApiCall("POST", "/v1/vision/analyze", lambda document: str(document["text"]), body)


def _body(image: ImageSource, model: str | None, **values: Any) -> dict[str, Any]:
    return body_of(model=model, image=image_value(image), **values)


def _call(task: str, body: dict[str, Any], decode: Callable[[dict[str, Any]], Item]) -> ApiCall[Item]:
    return ApiCall("POST", f"/v1/vision/{task}", lambda document: decode(document["data"][0]), body)


def _object(row: dict[str, Any]) -> FoundObject:
    return known_fields(FoundObject, row, box=tuple(row["box"]))


def _segment(row: dict[str, Any]) -> FoundSegment:
    mask = np.asarray(decode_image(row["mask"]["png"]).convert("L")) > 0
    return known_fields(FoundSegment, row, box=tuple(row["box"]), mask=mask)


def _depth(item: dict[str, Any]) -> EstimatedDepth:
    return known_fields(
        EstimatedDepth, item, depth=_floats(item["depth"]), confidence=_optional(item.get("confidence"))
    )


def _points(item: dict[str, Any]) -> PointCloud:
    colors = item.get("colors")
    return known_fields(
        PointCloud,
        item,
        points=_floats(item["points"]),
        colors=bytes_of(colors["data"], colors["shape"]) if colors else None,
        depth=_optional(item.get("depth")),
    )


def _vectors(item: dict[str, Any]) -> ImageVectors:
    pooled = item.get("pooled")
    return ImageVectors(
        item["dimensions"],
        floats(pooled, (-1,)) if pooled else None,
        _optional(item.get("patches")),
        _optional(item.get("tokens")),
    )


def _text(item: dict[str, Any]) -> TextInImage:
    lines = [
        known_fields(TextLine, line, polygon=[tuple(point) for point in line["polygon"]]) for line in item["lines"]
    ]
    return TextInImage(item["text"], lines)


def _floats(array: dict[str, Any]) -> Numbers:
    return floats(array["data"], array["shape"])


def _optional(array: dict[str, Any] | None) -> Numbers | None:
    return _floats(array) if array else None
