"""Depth: the library's own for each family, alone and in a batch, in metres of any range, and clamped to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts.testbed.models.depth import FAR, PATCH
from tests.conftest import Models
from tests.support import depth_engines
from tests.support.depth_engines import OTHER, PICTURE, TALL, DepthEngine, answers, depth, depth_item, values, whole

KINDS = {
    "depth_relative": ("disparity", "relative"),
    "depth_metric": ("depth", "metre"),
    "depth_pro": ("depth", "metre"),
    "zoedepth": ("depth", "metre"),
}
CLOSE = 1e-5
"""How far off a depth may be, of the largest one."""
TOGETHER = {"zoedepth": 5e-4}
"""The same in a batch, where that is more: ZoeDepth's bins sharpen what a sum in another order makes of a picture."""

Library = Callable[..., Any]


@pytest.fixture(scope="module")
def library(models: Models) -> Library:
    """What transformers says of one picture, called directly: its depth before anything is clamped, float32."""

    def ask(family: str, image: Image.Image, **sized: Any) -> Any:
        import torch
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        processor = AutoImageProcessor.from_pretrained(models(family))
        model = AutoModelForDepthEstimation.from_pretrained(models(family)).eval()
        size = "source_sizes" if family == "zoedepth" else "target_sizes"
        with torch.inference_mode():
            outputs = model(**processor(images=image, return_tensors="pt", **sized))
            sizes = {size: [(image.height, image.width)]}
            return processor.post_process_depth_estimation(outputs, **sizes)[0]

    return ask


def off(found: Any, expected: Any) -> float:
    return float(np.abs(values(found) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("family", KINDS)
def test_depth_matches_transformers_alone_and_batched(family: str, depth_engine: DepthEngine, library: Library) -> None:
    pictures = [PICTURE, OTHER, TALL]
    alone, together = (whole(depth_engine(family), depth(*some)) for some in ([PICTURE], pictures))
    assert [(item.index, item.width, item.height) for item in together.data] == [(0, 80, 60), (1, 80, 60), (2, 50, 120)]
    assert together.usage.images == 3
    for item, picture in zip([*alone.data, *together.data], [PICTURE, *pictures], strict=True):
        expected = library(family, picture)["predicted_depth"].numpy().clip(0)
        assert (item.kind, item.unit) == KINDS[family]
        assert item.depth.shape == expected.shape == (picture.height, picture.width)
        assert off(item.depth, expected) < (CLOSE if item is alone.data[0] else TOGETHER.get(family, CLOSE))
        assert (item.min, item.max) == (values(item.depth).min(), values(item.depth).max())
    assert off(together.data[1].depth, values(alone.data[0].depth)) > 0.01


@pytest.mark.parametrize("size", [(1000, 70), (70, 69), (20, 15), (8, 70), (1, 1)], ids=str)
def test_images_of_any_shape_match_transformers(
    size: tuple[int, int], depth_engine: DepthEngine, library: Library
) -> None:
    picture = PICTURE.resize(size)
    found = depth_item(depth_engine("depth_metric"), picture)
    expected = library("depth_metric", picture)["predicted_depth"].numpy().reshape(size[::-1])
    assert off(found.depth, expected.clip(0, FAR)) < CLOSE


def test_handles_strips_that_transformers_scales_to_nothing(depth_engine: DepthEngine) -> None:
    assert depth_item(depth_engine("depth_metric"), PICTURE.resize((1000, 5))).depth.shape == (5, 1000)


def test_images_of_one_input_size_share_a_batch(depth_engine: DepthEngine) -> None:
    engine = depth_engine("depth_metric")
    one, other = PICTURE.resize((160, 120)), OTHER.resize((240, 180))
    alone = [depth_item(engine, picture) for picture in (one, other)]
    looks: list[int] = []
    look = engine._estimator.estimate
    engine._estimator.estimate = lambda images, shorter: looks.append(len(images)) or look(images, shorter)  # type: ignore
    try:
        together = answers(engine, depth(one), depth(other))
    finally:
        del engine._estimator.estimate
    assert looks == [2]
    for answer, item in zip(together, alone, strict=True):
        assert off(answer.data[0].depth, values(item.depth)) < CLOSE


def test_max_depth_scales_the_depth(depth_engine: DepthEngine) -> None:
    usual = depth_item(depth_engine("depth_metric"))
    one, far = (depth_item(depth_engine("depth_metric"), max_depth=end) for end in (1.0, 80.0))
    assert np.allclose(values(one.depth), values(usual.depth) / FAR, rtol=1e-6)
    assert np.allclose(values(far.depth), values(usual.depth) * 80 / FAR, rtol=1e-6)
    assert (one.min, one.max) == pytest.approx((usual.min / FAR, usual.max / FAR))


def test_calls_share_a_batch_across_ranges_not_input_sizes(depth_engine: DepthEngine) -> None:
    group = depth_engine("depth_metric").served()["depth"].group
    assert group
    usual, ranged, sized = (depth(PICTURE, **more).request for more in ({}, {"max_depth": 1}, {"model_input_size": 98}))
    assert group(usual) == group(ranged) != group(sized)


@pytest.mark.parametrize("family", ["depth_relative", "depth_metric"])
def test_depth_stays_within_its_range(family: str, depth_engine: DepthEngine, library: Library) -> None:
    """Edges overshoot when the library scales them to the size of the picture: here by a model that knows extremes."""
    engine = depth_engine(family, batch_size=1)
    head = engine._estimator._pipeline.model.head.conv3  # type: ignore[attr-defined]
    weight = head.weight.data.clone()
    head.weight.data.mul_(1000)
    try:
        found = depth_item(engine, PICTURE.resize((301, 203)))
    finally:
        head.weight.data.copy_(weight)
    assert found.min == 0
    assert found.max == (FAR if family == "depth_metric" else pytest.approx(found.max))


@pytest.mark.parametrize(("shorter", "size"), [(70, (98, 70)), (60, (84, 70)), (28, (42, 28)), (140, (182, 140))])
def test_model_input_size_sets_the_input_size(
    shorter: int, size: tuple[int, int], depth_engine: DepthEngine, library: Library
) -> None:
    """The shorter side in multiples of a patch, none below what is asked for, as in the original code."""
    assert not any(side % PATCH for side in size)
    found = depth_item(depth_engine("depth_metric"), PICTURE, model_input_size=shorter)
    expected = library("depth_metric", PICTURE, size={"width": size[0], "height": size[1]}, keep_aspect_ratio=False)[
        "predicted_depth"
    ].numpy()
    assert off(found.depth, expected) < CLOSE


def test_large_inputs_go_through_one_at_a_time(depth_engine: DepthEngine, monkeypatch: Any) -> None:
    monkeypatch.setattr("workers.engines.depth_anything._TYPICAL_INPUT_PIXELS", 70 * 98)
    engine = depth_engine("depth_metric", batch_size=2)
    usual, large = (answers(engine, depth(PICTURE, OTHER, model_input_size=side))[0] for side in (70, 140))
    for one, other in zip(usual.data, large.data, strict=True):
        assert one.depth.shape == other.depth.shape
        assert off(one.depth, values(other.depth)) > 1e-4


def test_half_precision_keeps_depth_smooth(models: Models, depth_engine: DepthEngine) -> None:
    """bfloat16 has 256 values between 8 and 16 metres; what follows the backbone is kept in float32."""
    engine = depth_engines.load(models("depth_metric"), dtype="bfloat16")
    found = values(depth_item(engine).depth)
    assert len(np.unique(found)) > 4000
    assert off(depth_item(depth_engine("depth_metric")).depth, found) < 0.05


def test_depth_pro_predicts_the_focal_length(depth_engine: DepthEngine, library: Library) -> None:
    for picture in (PICTURE, TALL):
        camera = depth_item(depth_engine("depth_pro"), picture).camera_intrinsics
        focal = float(library("depth_pro", picture)["focal_length"])
        assert camera
        assert (camera.fx, camera.fy) == pytest.approx((focal, focal), rel=1e-4)
        assert (camera.cx, camera.cy) == (picture.width / 2, picture.height / 2)
