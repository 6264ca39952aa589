"""What can be asked of the segmentation engine: mask formats, prompts for each image, unusual images, refusals."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from contract.arrays import Array
from contract.errors import InvalidField, UnsupportedFeature
from contract.tasks.segment import SegmentResponse
from tests.conftest import Models
from tests.support.odd_images import ODD_IMAGES, OddImage, uri
from tests.support.segment_engines import IMAGE, ROTATED, answers, call, decoded, items, load, refusal, segments_of

POINT = {"points": [[20, 20]]}
BOX = {"boxes": [[6, 6, 37, 29]]}
PIXELS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1))


@pytest.fixture
def engine(models: Models) -> Any:
    return load(models("sam2"))


@pytest.mark.parametrize("mark", [POINT, BOX])
def test_refuses_more_points_and_boxes_than_a_limit(engine: Any, mark: dict[str, list[Any]]) -> None:
    [(name, marks)] = mark.items()
    error = refusal(engine, prompts=[{name: marks * 2049}, {name: marks * 2048}])
    assert isinstance(error, InvalidField)
    assert "4097 points and boxes; at most 4096" in error.message


# Mask formats -----------------------------------------------------------------------------------------------------


def test_all_formats_hold_the_same_mask(engine: Any) -> None:
    rle, polygon, dense = (
        segments_of(engine, prompts=[POINT], multimask=True, format=name) for name in ("rle", "polygon", "dense")
    )

    for segment, outline, pixels in zip(rle, polygon, dense, strict=True):
        mask = decoded(segment.mask)
        assert isinstance(pixels.mask.png, Array)
        png = Image.open(io.BytesIO(base64.b64decode(pixels.mask.png.as_json())))
        assert (png.mode, png.size) == ("L", (80, 60))
        assert (np.asarray(png) == mask * 255).all()
        assert (np.frombuffer(pixels.mask.png.data, np.uint8).reshape(60, 80) == mask * 255).all()
        assert outline.mask.polygons
        assert (rasterised(outline.mask.polygons, mask.shape) == without_holes(mask)).all()
        assert segment.area == pixels.area == outline.area == mask.sum()
        ys, xs = np.nonzero(mask)
        assert segment.box == outline.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_dense_masks_can_be_rows_of_0_and_1(engine: Any) -> None:
    [segment] = segments_of(engine, prompts=[POINT], format="dense", encoding_format="float")
    [rle] = segments_of(engine, prompts=[POINT])
    written = segment.mask.model_dump(mode="json")
    assert written["png"] is None
    assert np.array_equal(np.array(written["pixels"]), decoded(rle.mask).astype(int))
    assert "pixels" not in rle.mask.model_dump(mode="json")


@pytest.mark.parametrize(("weights", "winner"), [(True, 0), ([1, 1], 0), ([0.1, 1], 1), ([1], 0), ([0, 0], None)])
def test_overlaps_go_to_the_best_weighted_score(weights: Any, winner: int | None) -> None:
    from workers.engines.transformers_segment.masks import PredictedMask, RunLengths, without_overlaps

    pixels = [np.zeros((4, 6), bool), np.zeros((4, 6), bool)]
    pixels[0][:, :4] = pixels[1][:, 2:] = True
    masks = [PredictedMask(index, (0.9, 0.5)[index], run_lengths_of(each)) for index, each in enumerate(pixels)]
    resolved = [mask.run_lengths.pixels for mask in without_overlaps(masks, weights if weights is not True else [])]
    assert isinstance(masks[0].run_lengths, RunLengths)
    if winner is None:
        assert not any(each.any() for each in resolved)
    else:
        assert (resolved[winner] == pixels[winner]).all()
        assert (resolved[1 - winner] == (pixels[1 - winner] & ~pixels[winner])).all()


def run_lengths_of(pixels: Any) -> Any:
    import torch

    from workers.engines.transformers_segment.masks import RunLengths

    return RunLengths.from_mask(torch.from_numpy(pixels))


def test_requests_can_resolve_overlaps(engine: Any) -> None:
    prompts = [POINT, {"points": [[60, 40]]}]
    plain = segments_of(engine, prompts=prompts, multimask=True)
    resolved = segments_of(engine, prompts=prompts, multimask=True, resolve_overlaps=True)
    assert sum(decoded(segment.mask).astype(int) for segment in plain).max() > 1
    assert sum(decoded(segment.mask).astype(int) for segment in resolved).max() == 1
    assert [segment.score for segment in resolved] == [segment.score for segment in plain]
    assert all(segment.area == decoded(segment.mask).sum() for segment in resolved)


def rasterised(polygons: Any, shape: tuple[int, ...]) -> Any:
    """The polygons, filled by pycocotools."""
    from pycocotools import mask as coco

    flat = [[float(number) for corner in polygon for number in corner] for polygon in polygons]
    if not flat:
        return np.zeros(shape, bool)
    return decode(coco.merge(coco.frPyObjects(flat, *shape)))


def decode(rle: Any) -> Any:
    from contract.tasks.segment import Mask

    return decoded(Mask(format="rle", size=rle["size"], counts=rle["counts"].decode()))


def without_holes(mask: Any) -> Any:
    """A mask with the holes of each part filled; parts that only touch at a corner are separate."""
    from scipy import ndimage

    parts, number = ndimage.label(mask)
    filled = np.zeros_like(mask, bool)
    for part in range(1, number + 1):
        outside, _ = ndimage.label(np.pad(parts != part, 1, constant_values=True), np.ones((3, 3)))
        filled |= (outside != outside[0, 0])[1:-1, 1:-1]
    return filled


@given(PIXELS)
def test_run_lengths_match_pycocotools(pixels: Any) -> None:
    import torch
    from pycocotools import mask as coco

    from workers.engines.transformers_segment.masks import RunLengths

    expected = coco.encode(np.asfortranarray(pixels))
    run_lengths = RunLengths.from_mask(torch.from_numpy(pixels))

    assert run_lengths.compressed.encode() == expected["counts"]
    assert run_lengths.area == coco.area(expected)
    x, y, width, height = coco.toBbox(expected)
    assert run_lengths.box == (x, y, x + width, y + height)
    assert (run_lengths.pixels == pixels).all()


@given(PIXELS)
def test_filled_outlines_are_the_mask_without_holes(pixels: Any) -> None:
    from workers.engines.transformers_segment.masks import outlines

    polygons = outlines(pixels)

    assert (rasterised(polygons, pixels.shape) == without_holes(pixels)).all()
    assert all(len(polygon) == len(set(polygon)) or len(polygon) > 4 for polygon in polygons)


def test_outline_follows_the_edges_of_pixels() -> None:
    from workers.engines.transformers_segment.masks import outlines

    ring = np.pad(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8), 1)

    assert outlines(ring, 10, 20) == [[(11, 21), (14, 21), (14, 24), (11, 24)]]


# Prompts ----------------------------------------------------------------------------------------------------------


def test_prompts_can_be_for_one_image_only(engine: Any) -> None:
    first, second, third = items(
        engine,
        images=[uri(IMAGE), uri(ROTATED), uri(IMAGE)],
        prompts=[{**POINT, "image": 0}, {**BOX, "image": 0, "label": "crate"}, {**BOX, "image": 2}],
    )

    assert [(segment.prompt, segment.label) for segment in first.segments] == [(0, None), (1, "crate")]
    assert second.segments == []
    assert [segment.prompt for segment in third.segments] == [0]
    assert third.segments[0].mask == first.segments[1].mask


def test_empty_prompts_give_no_segments(engine: Any) -> None:
    assert segments_of(engine, prompts=[]) == []


def test_segments_keep_detection_label_and_score(engine: Any) -> None:
    [segment] = segments_of(engine, prompts=[{**BOX, "label": "crate", "score": 0.5}])

    assert (segment.label, segment.detection_score) == ("crate", 0.5)
    assert segment.mask == segments_of(engine, prompts=[BOX])[0].mask


def test_usage_and_progress_count_images(engine: Any) -> None:
    counted = call(images=[uri(IMAGE), uri(ROTATED)], prompts=[POINT])

    [answer] = answers(engine, counted)

    assert isinstance(answer, SegmentResponse)
    assert (answer.model, answer.usage.images) == ("masks", 2)
    assert (counted.done, counted.total) == (2, 2)


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_reads_unusual_images_as_displayed(engine: Any, odd: OddImage) -> None:
    item, plain = items(engine, images=[odd.uri, odd.plain_uri], prompts=[POINT, BOX])

    assert (item.width, item.height) == odd.size
    assert item.segments == plain.segments


@pytest.mark.parametrize("size", [(1, 1), (300, 3)])
def test_masks_of_extreme_shapes_have_the_images_size(engine: Any, size: tuple[int, int]) -> None:
    [segment] = segments_of(engine, IMAGE.resize(size), prompts=[{"points": [[0, 0]]}])

    assert decoded(segment.mask).shape == size[::-1]
    assert isinstance(segments_of(engine, IMAGE.resize(size), automatic=True), list)


# Refusals ---------------------------------------------------------------------------------------------------------


def test_missing_prompts_error_says_what_to_send(engine: Any) -> None:
    error = refusal(engine)

    assert isinstance(error, InvalidField)
    assert "`points` or `boxes`, or `automatic: true`" in error.message


@pytest.mark.parametrize("fields", [{"prompt": "cat"}, {"prompts": [POINT], "semantic": True}])
def test_rejects_features_that_the_model_lacks(engine: Any, fields: Any) -> None:
    assert isinstance(refusal(engine, **fields), UnsupportedFeature)


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ({"points": [[20, 20], [82, 20]]}, "point [82, 20]"),
        ({"points": [[20, -3]]}, "point [20, -3]"),
        ({"boxes": [[6, 6, 37, 29], [10, 10, 20, 62.5]]}, "box [10, 10, 20, 62.5]"),
        ({"boxes": [[-2, 0, 10, 10]]}, "box [-2, 0, 10, 10]"),
    ],
)
def test_coordinates_outside_the_image_are_named(engine: Any, prompt: Any, named: str) -> None:
    [error, answer] = answers(engine, call(prompts=[prompt]), call(prompts=[POINT]))

    assert isinstance(error, InvalidField)
    assert f"The {named} is outside of image 0, which is 80 pixels wide and 60 high" in error.message
    assert isinstance(answer, SegmentResponse)


def test_tolerates_rounding_of_detector_boxes(engine: Any) -> None:
    assert len(segments_of(engine, prompts=[{"boxes": [[-0.4, 0, 80.3, 60]]}])) == 1


def test_rejects_points_with_several_boxes(engine: Any) -> None:
    error = refusal(engine, prompts=[{**POINT, "boxes": [[1, 1, 9, 9], [2, 2, 9, 9]]}])

    assert isinstance(error, InvalidField)
    assert "only one box" in error.message
