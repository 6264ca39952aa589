"""Depth matches transformers for each family, alone and batched; its range can be set, and it stays within it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts.testbed.models.depth import FAR, PATCH
from tests.conftest import Models
from tests.support import depth_engines
from tests.support.depth_engines import IMAGE, INVERTED, TALL, DepthEngine, answers, depth, depth_item, response, values

KIND_AND_UNIT = {
    "depth_relative": ("disparity", "relative"),
    "depth_metric": ("depth", "metre"),
    "depth_pro": ("depth", "metre"),
    "zoedepth": ("depth", "metre"),
}
CLOSE = 1e-5
"""The largest error allowed, relative to the largest depth."""
BATCH_TOLERANCE = {"zoedepth": 5e-4}
"""The largest error allowed in a batch, if not CLOSE: ZoeDepth's bins amplify rounding errors."""

Reference = Callable[..., Any]


@pytest.fixture(scope="module")
def reference(models: Models) -> Reference:
    """The prediction of transformers for one image, called directly: float32, before anything is clamped."""

    def ask(family: str, image: Image.Image, **processor_arguments: Any) -> Any:
        import torch
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        processor = AutoImageProcessor.from_pretrained(models(family))
        model = AutoModelForDepthEstimation.from_pretrained(models(family)).eval()
        sizes_argument = "source_sizes" if family == "zoedepth" else "target_sizes"
        with torch.inference_mode():
            outputs = model(**processor(images=image, return_tensors="pt", **processor_arguments))
            sizes = {sizes_argument: [(image.height, image.width)]}
            return processor.post_process_depth_estimation(outputs, **sizes)[0]

    return ask


def error(part: Any, expected: Any) -> float:
    """The largest difference, relative to the largest expected value."""
    return float(np.abs(values(part) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("family", KIND_AND_UNIT)
def test_depth_matches_transformers_alone_and_batched(
    family: str, depth_engine: DepthEngine, reference: Reference
) -> None:
    images = [IMAGE, INVERTED, TALL]
    alone, together = (response(depth_engine(family), depth(*some)) for some in ([IMAGE], images))
    assert [(item.index, item.width, item.height) for item in together.data] == [(0, 80, 60), (1, 80, 60), (2, 50, 120)]
    assert together.usage.images == 3
    for item, image in zip([*alone.data, *together.data], [IMAGE, *images], strict=True):
        expected = reference(family, image)["predicted_depth"].numpy().clip(0)
        assert (item.kind, item.unit) == KIND_AND_UNIT[family]
        assert item.depth.shape == expected.shape == (image.height, image.width)
        assert error(item.depth, expected) < (CLOSE if item is alone.data[0] else BATCH_TOLERANCE.get(family, CLOSE))
        assert (item.min, item.max) == (values(item.depth).min(), values(item.depth).max())
    assert error(together.data[1].depth, values(alone.data[0].depth)) > 0.01


@pytest.mark.parametrize("size", [(1000, 70), (70, 69), (20, 15), (8, 70), (1, 1)], ids=str)
def test_images_of_any_shape_match_transformers(
    size: tuple[int, int], depth_engine: DepthEngine, reference: Reference
) -> None:
    image = IMAGE.resize(size)
    item = depth_item(depth_engine("depth_metric"), image)
    expected = reference("depth_metric", image)["predicted_depth"].numpy().reshape(size[::-1])
    assert error(item.depth, expected.clip(0, FAR)) < CLOSE


def test_handles_strips_that_transformers_scales_to_nothing(depth_engine: DepthEngine) -> None:
    assert depth_item(depth_engine("depth_metric"), IMAGE.resize((1000, 5))).depth.shape == (5, 1000)


def test_images_of_one_input_size_share_a_batch(depth_engine: DepthEngine) -> None:
    engine = depth_engine("depth_metric")
    small, large = IMAGE.resize((160, 120)), INVERTED.resize((240, 180))
    alone = [depth_item(engine, image) for image in (small, large)]
    batch_sizes: list[int] = []
    estimate = engine._estimator.estimate
    engine._estimator.estimate = lambda images, side: batch_sizes.append(len(images)) or estimate(images, side)  # type: ignore
    try:
        together = answers(engine, depth(small), depth(large))
    finally:
        del engine._estimator.estimate
    assert batch_sizes == [2]
    for answer, item in zip(together, alone, strict=True):
        assert error(answer.data[0].depth, values(item.depth)) < CLOSE


def test_max_depth_scales_the_depth(depth_engine: DepthEngine) -> None:
    default = depth_item(depth_engine("depth_metric"))
    near, far = (depth_item(depth_engine("depth_metric"), max_depth=end) for end in (1.0, 80.0))
    assert np.allclose(values(near.depth), values(default.depth) / FAR, rtol=1e-6)
    assert np.allclose(values(far.depth), values(default.depth) * 80 / FAR, rtol=1e-6)
    assert (near.min, near.max) == pytest.approx((default.min / FAR, default.max / FAR))


def test_calls_share_a_batch_across_ranges_not_input_sizes(depth_engine: DepthEngine) -> None:
    group = depth_engine("depth_metric").served()["depth"].group
    assert group
    default, ranged, sized = (
        depth(IMAGE, **fields).request for fields in ({}, {"max_depth": 1}, {"model_input_size": 98})
    )
    assert group(default) == group(ranged) != group(sized)


@pytest.mark.parametrize("family", ["depth_relative", "depth_metric"])
def test_depth_stays_within_its_range(family: str, depth_engine: DepthEngine, reference: Reference) -> None:
    """Interpolation overshoots at edges: here those of a model with extreme predictions."""
    engine = depth_engine(family, batch_size=1)
    head = engine._estimator._pipeline.model.head.conv3  # type: ignore[attr-defined]
    weight = head.weight.data.clone()
    head.weight.data.mul_(1000)
    try:
        item = depth_item(engine, IMAGE.resize((301, 203)))
    finally:
        head.weight.data.copy_(weight)
    assert item.min == 0
    assert item.max == (FAR if family == "depth_metric" else pytest.approx(item.max))


@pytest.mark.parametrize(("shorter_side", "size"), [(70, (98, 70)), (60, (84, 70)), (28, (42, 28)), (140, (182, 140))])
def test_model_input_size_sets_the_input_size(
    shorter_side: int, size: tuple[int, int], depth_engine: DepthEngine, reference: Reference
) -> None:
    """Both sides are multiples of a patch, and none is below the requested length, as in the original code."""
    assert not any(side % PATCH for side in size)
    item = depth_item(depth_engine("depth_metric"), IMAGE, model_input_size=shorter_side)
    expected = reference("depth_metric", IMAGE, size={"width": size[0], "height": size[1]}, keep_aspect_ratio=False)[
        "predicted_depth"
    ].numpy()
    assert error(item.depth, expected) < CLOSE


def test_large_inputs_go_through_one_at_a_time(depth_engine: DepthEngine, monkeypatch: Any) -> None:
    monkeypatch.setattr("workers.engines.depth_anything._TYPICAL_INPUT_PIXELS", 70 * 98)
    engine = depth_engine("depth_metric", batch_size=2)
    at_once, one_by_one = (answers(engine, depth(IMAGE, INVERTED, model_input_size=side))[0] for side in (70, 140))
    for small, large in zip(at_once.data, one_by_one.data, strict=True):
        assert small.depth.shape == large.depth.shape
        assert error(small.depth, values(large.depth)) > 1e-4


def test_half_precision_keeps_depth_smooth(models: Models, depth_engine: DepthEngine) -> None:
    """bfloat16 has only 256 values between 8 and 16 metres, so everything after the backbone runs in float32."""
    engine = depth_engines.load(models("depth_metric"), dtype="bfloat16")
    half = values(depth_item(engine).depth)
    assert len(np.unique(half)) > 4000
    assert error(depth_item(depth_engine("depth_metric")).depth, half) < 0.05


def test_depth_pro_predicts_the_focal_length(depth_engine: DepthEngine, reference: Reference) -> None:
    for image in (IMAGE, TALL):
        camera = depth_item(depth_engine("depth_pro"), image).camera_intrinsics
        focal = float(reference("depth_pro", image)["focal_length"])
        assert camera
        assert (camera.fx, camera.fy) == pytest.approx((focal, focal), rel=1e-4)
        assert (camera.cx, camera.cy) == (image.width / 2, image.height / 2)
