"""What can be asked of depth and pointcloud: unusual images, and an error for everything that is not possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.config import ModelSpec
from contract.errors import BadImage, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.depth import DEPTH, DepthRequest
from contract.tasks.pointcloud import POINTCLOUD
from tests.conftest import Models
from tests.support.depth_engines import (
    CAMERA,
    IMAGE,
    DepthEngine,
    answers,
    cloud,
    cloud_item,
    depth,
    refusal,
    response,
    values,
)
from tests.support.odd_images import ODD_IMAGES, OddImage
from workers.engine import Call, Device
from workers.registry import find_engine


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_reads_unusual_images_as_displayed(odd: OddImage, depth_engine: DepthEngine) -> None:
    call = Call(DepthRequest.model_validate({"images": [odd.uri, odd.plain_uri]}))
    item, plain = response(depth_engine("depth_metric"), call).data
    assert (item.width, item.height) == odd.size
    assert item.depth.shape == odd.size[::-1]
    assert np.abs(values(item.depth) - values(plain.depth)).max() < 1e-4


def test_points_of_a_rotated_image_match_the_upright_one(depth_engine: DepthEngine) -> None:
    rotated = next(odd for odd in ODD_IMAGES if odd.name == "EXIF-rotated")
    fields = {"camera_intrinsics": CAMERA, "colors": True}
    call = Call(POINTCLOUD.request.model_validate({"images": [rotated.uri, rotated.plain_uri], **fields}))
    item, plain = response(depth_engine("depth_metric"), call).data
    assert np.array_equal(values(item.colors), values(plain.colors))
    assert np.abs(values(item.points) - values(plain.points)).max() < 1e-3


def test_missing_intrinsics_error_says_what_to_send(depth_engine: DepthEngine) -> None:
    error = refusal(depth_engine("depth_metric"), cloud(IMAGE), cloud(IMAGE, camera_intrinsics=CAMERA))
    assert isinstance(error, InvalidField)
    assert error.param == "camera_intrinsics"
    assert "fx = fy = 0.8 x" in error.message


def test_rejects_point_clouds_from_disparity(depth_engine: DepthEngine) -> None:
    [error] = answers(depth_engine("depth_relative"), cloud(IMAGE, camera_intrinsics=CAMERA))
    assert isinstance(error, UnsupportedFeature)
    assert "Depth-Anything-V2-Metric-Indoor" in error.message


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("depth_relative", {"max_depth": 10}),
        ("zoedepth", {"max_depth": 10}),
        ("depth_metric", {"confidence": True}),
    ],
)
def test_rejects_features_that_a_model_lacks(family: str, fields: dict[str, Any], depth_engine: DepthEngine) -> None:
    engine = depth_engine(family)
    error = refusal(engine, depth(IMAGE, **fields), depth(IMAGE))
    assert isinstance(error, UnsupportedFeature)
    [field] = fields
    assert error.param == field
    assert field not in engine.loaded_features()
    assert field in type(engine).features


def test_rejects_input_size_for_models_with_a_fixed_one(depth_engine: DepthEngine) -> None:
    [error] = answers(depth_engine("depth_pro"), depth(IMAGE, model_input_size=140))
    assert isinstance(error, InvalidField)
    assert error.param == "model_input_size"


def test_rejects_a_strip_that_would_be_scaled_up_too_far(depth_engine: DepthEngine) -> None:
    error = refusal(
        depth_engine("depth_metric"),
        depth(IMAGE.resize((1000, 5)), model_input_size=1400),
        depth(IMAGE, model_input_size=70),
    )
    assert isinstance(error, BadImage)
    assert "1000x5 to 280000x1400" in error.message


@pytest.mark.parametrize("size", [(40_000, 200), (200, 40_000)])
def test_zoedepth_rejects_strips_that_keep_their_length(
    size: tuple[int, int], depth_engine: DepthEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = depth_engine("zoedepth")
    monkeypatch.setattr(type(engine._estimator), "max_input_pixels", 512 * 512)  # the tiny model sees small images
    error = refusal(engine, depth(IMAGE.resize(size)), depth(IMAGE))
    assert isinstance(error, BadImage)
    assert f"{size[0]}x{size[1]} to " in error.message
    assert "more than 262144 pixels. Crop it." in error.message


def test_zoedepth_rejects_images_that_it_cannot_pad(depth_engine: DepthEngine) -> None:
    error = refusal(depth_engine("zoedepth"), depth(IMAGE.resize((200, 4))), depth(IMAGE))
    assert isinstance(error, BadImage)
    assert error.message == "ZoeDepth needs at least 5 pixels on each side. Enlarge the image."


def test_broken_image_fails_alone(depth_engine: DepthEngine) -> None:
    broken = Call(DepthRequest.model_validate({"image": b"GIF89a"}))
    assert isinstance(refusal(depth_engine("depth_metric"), broken, depth(IMAGE)), BadImage)


@pytest.mark.parametrize(
    ("task", "fields", "param"),
    [
        (DEPTH, '"max_depth": 0', "max_depth"),
        (DEPTH, '"model_input_size": 5', "model_input_size"),
        (DEPTH, '"format": "exr"', "format"),
        (POINTCLOUD, '"camera_intrinsics": {"fx": 0, "fy": 1, "cx": 0, "cy": 0}', "camera_intrinsics.fx"),
        (POINTCLOUD, '"camera_intrinsics": {"fx": 1, "fy": 1}', "camera_intrinsics.cx"),
    ],
)
def test_invalid_fields_are_named(task: Any, fields: str, param: str) -> None:
    with pytest.raises(InvalidField) as error:
        task.decode("application/json", f'{{"image": "aGk=", {fields}}}'.encode())
    assert error.value.param == param


def test_intrinsics_can_be_sent_as_form_data(depth_engine: DepthEngine) -> None:
    camera = b'{"fx": 64, "fy": 60, "cx": 39.5, "cy": 30}'
    part = b'--x\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    image = cloud(IMAGE).request.all_images[0].read()
    form = b"".join(
        (part % (b"camera_intrinsics", b"", camera), part % (b"image", b'; filename="a.png"', image), b"--x--\r\n")
    )
    request = POINTCLOUD.decode("multipart/form-data; boundary=x", form)
    item = response(depth_engine("depth_metric"), Call(request)).data[0]
    assert np.array_equal(
        values(item.points), values(cloud_item(depth_engine("depth_metric"), camera_intrinsics=CAMERA).points)
    )


def test_rejects_other_models_and_names_their_engine(models: Models, tmp_path: Path) -> None:
    engine = find_engine("depth_anything")()
    with pytest.raises(LoadFailed, match="Write `engine: dino`"):
        engine.load(_spec(models("dinov2")), Device("cpu", "float32"))
    (tmp_path / "config.json").write_text('{"model_type": "glpn"}')
    with pytest.raises(ServeError, match="'glpn', which no engine serves"):
        engine.load(_spec(tmp_path), Device("cpu", "float32"))


def _spec(folder: Path) -> ModelSpec:
    return ModelSpec(id="x", engine="depth_anything", source=str(folder))
