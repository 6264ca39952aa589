"""Depth maps and point clouds in every format: float32, 16-bit PNG, preview, PLY, npz, raw bytes."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts.bench import arrays
from scripts.testbed.models.depth import FAR
from tests.support.depth_engines import (
    CAMERA,
    IMAGE,
    DepthEngine,
    cloud,
    cloud_item,
    decoded_image,
    depth,
    depth_item,
    read_ply,
    response,
    values,
)
from workers import content_negotiation

RED, BLUE = (158, 1, 66), (94, 79, 162)


def as_json(answer: Any) -> Any:
    """The first item of the JSON that a client gets."""
    return json.loads(content_negotiation.as_json(answer)[1])["data"][0]


def decoded(part: Any) -> bytes:
    return base64.b64decode(part["data"])


def test_values_are_little_endian_base64_or_lists(depth_engine: DepthEngine) -> None:
    engine = depth_engine("depth_metric")
    coded, listed = (
        as_json(response(engine, depth(IMAGE, encoding_format=encoding))) for encoding in ("base64", "float")
    )
    depth_values = np.frombuffer(decoded(coded["depth"]), "<f4").reshape(coded["depth"]["shape"])
    assert np.array_equal(depth_values, np.array(listed["depth"]["data"], "<f4"))
    assert (coded["min"], coded["max"]) == (depth_values.min(), depth_values.max())
    assert coded["depth"]["shape"] == [60, 80]


@pytest.mark.parametrize("family", ["depth_relative", "depth_metric"])
def test_png16_is_off_by_at_most_half_a_step(family: str, depth_engine: DepthEngine) -> None:
    engine = depth_engine(family)
    exact = values(depth_item(engine).depth)
    item = as_json(response(engine, depth(IMAGE, format="png16")))
    image = decoded_image(decoded(item["depth"]))
    assert image.mode == "I;16"
    scale, offset = item["depth"]["scale"], item["depth"]["offset"]
    assert (float(image.text["scale"]), float(image.text["offset"])) == (scale, offset)  # type: ignore[attr-defined]
    assert (image.text["unit"], image.text["kind"]) == (item["unit"], item["kind"])  # type: ignore[attr-defined]
    restored = np.asarray(image).astype("f8") * scale + offset
    assert np.abs(restored - exact).max() <= scale / 2 + 1e-6
    if family == "depth_metric":
        assert (scale, offset) == (FAR / 65535, 0)
    else:
        assert (offset, scale) == pytest.approx((exact.min(), (exact.max() - exact.min()) / 65535))


def test_png16_as_raw_bytes_has_scale_and_unit_headers(depth_engine: DepthEngine) -> None:
    engine = depth_engine("depth_relative")
    exact = values(depth_item(engine).depth)
    headers, content = content_negotiation.writer_for(content_negotiation.BYTES)(
        response(engine, depth(IMAGE, format="png16"))
    )
    header = {key.decode(): value.decode() for key, value in headers}
    assert (header["x-array-dtype"], header["x-array-kind"], header["x-array-unit"]) == (
        "uint16",
        "disparity",
        "relative",
    )
    scale, offset = float(header["x-array-scale"]), float(header["x-array-offset"])
    restored = np.frombuffer(content, "<u2").reshape(exact.shape) * scale + offset
    assert np.abs(restored - exact).max() <= scale / 2 + 1e-6


def test_png16_steps_cover_the_requested_range(depth_engine: DepthEngine) -> None:
    item = depth_item(depth_engine("depth_metric"), format="png16", max_depth=80)
    assert item.depth.scale == pytest.approx(80 / 65535)


@pytest.mark.parametrize(("family", "nearest"), [("depth_relative", "max"), ("depth_metric", "min")])
def test_preview_is_red_near_and_blue_far(family: str, nearest: str, depth_engine: DepthEngine) -> None:
    exact = values(depth_item(depth_engine(family)).depth)
    item = as_json(response(depth_engine(family), depth(IMAGE, format="preview")))
    colors = np.asarray(decoded_image(decoded(item["depth"])))
    assert colors.shape == (60, 80, 3)
    near, far = (exact.argmax(), exact.argmin()) if nearest == "max" else (exact.argmin(), exact.argmax())
    assert tuple(colors.reshape(-1, 3)[near]) == RED
    assert tuple(colors.reshape(-1, 3)[far]) == BLUE


def test_all_formats_handle_constant_depth(depth_engine: DepthEngine) -> None:
    flat = Image.new("RGB", (1, 1), "white")
    for family in ("depth_relative", "depth_metric"):
        exact = values(depth_item(depth_engine(family), flat).depth)
        item = as_json(response(depth_engine(family), depth(flat, format="png16")))
        grey = np.asarray(decoded_image(decoded(item["depth"])))
        assert grey * item["depth"]["scale"] + item["depth"]["offset"] == pytest.approx(exact, abs=2e-4)
        assert depth_item(depth_engine(family), flat, format="preview").depth.shape == (1, 1)


def test_points_follow_the_pinhole_model(depth_engine: DepthEngine) -> None:
    item = cloud_item(depth_engine("depth_metric"), camera_intrinsics=CAMERA, colors=True)
    exact, points = values(item.depth), values(item.points)
    assert item.points.shape == points.shape == (4800, 3)
    assert points.dtype == np.float32
    for row, column in ((0, 0), (7, 79), (59, 3)):
        x, y, z = points[row * 80 + column]
        assert z == exact[row, column]
        assert x == pytest.approx((column - CAMERA["cx"]) * z / CAMERA["fx"], rel=1e-5)
        assert y == pytest.approx((row - CAMERA["cy"]) * z / CAMERA["fy"], rel=1e-5)
        assert tuple(values(item.colors)[row * 80 + column]) == IMAGE.getpixel((column, row))
    assert item.camera_intrinsics.model_dump() == CAMERA
    assert item.unit == "metre"


@pytest.mark.parametrize("colors", [False, True])
def test_ply_file_has_the_same_points(colors: bool, depth_engine: DepthEngine) -> None:
    engine = depth_engine("depth_metric")
    exact = cloud_item(engine, camera_intrinsics=CAMERA, colors=True)
    item = as_json(response(engine, cloud(IMAGE, camera_intrinsics=CAMERA, colors=colors, format="ply", depth=False)))
    vertices = read_ply(decoded(item["points"]))
    assert item["points"]["shape"] == [4800, 3]
    assert np.array_equal(np.stack([vertices[name] for name in "xyz"], -1), values(exact.points))
    assert (item["colors"], item["depth"]) == (None, None)
    if colors:
        assert np.array_equal(np.stack([vertices[name] for name in ("red", "green", "blue")], -1), values(exact.colors))
    else:
        assert vertices.dtype.names == ("x", "y", "z")


def test_npz_file_has_everything_requested(depth_engine: DepthEngine) -> None:
    engine = depth_engine("depth_metric")
    exact = cloud_item(engine, camera_intrinsics=CAMERA, colors=True)
    item = as_json(response(engine, cloud(IMAGE, camera_intrinsics=CAMERA, colors=True, format="npz")))
    with np.load(io.BytesIO(decoded(item["points"]))) as arrays:
        assert set(arrays) == {"points", "colors", "depth"}
        for name in arrays:
            assert np.array_equal(arrays[name], values(getattr(exact, name)))
    bare = cloud_item(engine, camera_intrinsics=CAMERA, format="npz", depth=False)
    with np.load(io.BytesIO(bytes(values(bare.points)))) as arrays:
        assert set(arrays) == {"points"}


def test_raw_bytes_and_npz_responses_hold_the_same_arrays(depth_engine: DepthEngine) -> None:
    engine = depth_engine("depth_metric")
    exact = cloud_item(engine, camera_intrinsics=CAMERA, colors=True)
    headers, content = content_negotiation.writer_for(content_negotiation.BYTES)(response(engine, depth(IMAGE)))
    header = dict(headers)
    assert (header[b"x-array-dtype"], header[b"x-array-shape"]) == (b"float32", b"60,80")
    assert (header[b"x-array-unit"], header[b"x-array-kind"]) == (b"metre", b"depth")
    assert np.array_equal(np.frombuffer(content, "<f4").reshape(60, 80), values(exact.depth))
    _, content = content_negotiation.writer_for(content_negotiation.NPZ)(
        response(engine, cloud(IMAGE, camera_intrinsics=CAMERA, colors=True))
    )
    with np.load(io.BytesIO(content)) as arrays:
        for name in ("points", "colors", "depth"):
            assert np.array_equal(arrays[f"0.{name}"], values(getattr(exact, name)))
        rest = json.loads(arrays["answer.json"])
    assert rest["data"][0]["camera_intrinsics"] == CAMERA
    _, content = content_negotiation.writer_for(content_negotiation.BYTES)(
        response(engine, cloud(IMAGE, camera_intrinsics=CAMERA, format="ply", depth=False))
    )
    assert len(read_ply(content)) == 4800


@pytest.mark.parametrize("name", arrays.FORMATS)
def test_benchmark_client_reads_every_format(name: str, depth_engine: DepthEngine) -> None:
    """The client of `make bench` decodes what the engine encodes."""
    engine, form = depth_engine("depth_metric"), arrays.FORMATS[name]
    headers, content = content_negotiation.writer_for(form.accept)(response(engine, depth(IMAGE, **form.fields)))
    read = form.read({key.decode(): value.decode() for key, value in headers}, content)
    assert np.abs(read - values(depth_item(engine).depth)).max() < FAR / 65535


def test_depth_pro_uses_given_or_predicted_intrinsics(depth_engine: DepthEngine) -> None:
    engine = depth_engine("depth_pro")
    predicted = cloud_item(engine)
    given = cloud_item(engine, camera_intrinsics=CAMERA)
    camera = predicted.camera_intrinsics
    assert given.camera_intrinsics.model_dump() == CAMERA
    x, _, z = values(predicted.points)[79]
    assert x == pytest.approx((79 - camera.cx) * z / camera.fx, rel=1e-5)
    assert values(given.points)[79][0] == pytest.approx((79 - CAMERA["cx"]) * z / CAMERA["fx"], rel=1e-5)
