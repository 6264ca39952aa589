"""Points, boxes and everything: the masks of SAM, SAM-HQ, SAM 2 and SAM 3's tracker are the library's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Models
from tests.support.odd_images import uri
from tests.support.segment_engines import OTHER, PICTURE, alike, call, decoded, found, items, load, same
from workers.engine import Call

FAMILIES = {
    "sam": "SamProcessor",
    "sam_hq": "SamHQProcessor",
    "sam2": "Sam2Processor",
    "sam3": "Sam3TrackerProcessor",
}
POINT = {"points": [[20, 20]]}
POINTS = {"points": [[20, 20], [60, 30]], "point_labels": [1, 0]}
BOX = {"boxes": [[6, 6, 37, 29]]}
BOTH = {**POINTS, **BOX}

families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def engine(family: str, models: Models) -> Any:
    return load(models(family))


@cache
def library(folder: Path, processor: str) -> tuple[Any, Any]:
    import transformers

    model = transformers.AutoModelForMaskGeneration.from_pretrained(folder).eval()
    return model, getattr(transformers, processor).from_pretrained(folder)


def by_the_library(
    folder: Path, family: str, prompt: dict[str, Any], image: Image.Image = PICTURE, *, several: bool = False
) -> list[tuple[Any, float]]:
    """Masks and scores of one prompt for one thing, the best first."""
    import torch

    model, processor = library(folder, FAMILIES[family])
    asked: dict[str, Any] = {}
    if "points" in prompt:
        asked["input_points"] = [[[[float(x), float(y)] for x, y in prompt["points"]]]]
        asked["input_labels"] = [[prompt.get("point_labels", [1])]]
    if "boxes" in prompt:
        asked["input_boxes"] = [[[float(number) for number in prompt["boxes"][0]]]]
    inputs = processor(images=image, return_tensors="pt", **asked)
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes", None)
    inputs = {name: value.float() if value.is_floating_point() else value for name, value in inputs.items()}
    with torch.no_grad():
        outputs = model(**inputs, multimask_output=several)
    [[masks]] = processor.post_process_masks(
        outputs.pred_masks, sizes[0], **({} if sizes[1] is None else {"reshaped_input_sizes": sizes[1]})
    )
    pairs = zip(masks.numpy(), outputs.iou_scores[0, 0].tolist(), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


# What is pointed at -----------------------------------------------------------------------------------------------


@families
def test_masks_of_points_and_boxes_match_transformers(family: str, engine: Any, models: Models) -> None:
    prompts = [POINTS, {**BOX, "score": 0.5}, BOTH, POINT]

    segments = found(engine, prompts=prompts)

    expected = [by_the_library(models(family), family, prompt)[0] for prompt in prompts[:3]]
    expected.append(by_the_library(models(family), family, POINT, several=True)[0])  # which may mean several things
    assert [segment.prompt for segment in segments] == [0, 1, 2, 3]
    assert all(same(segment, *one) for segment, one in zip(segments, expected, strict=True))
    assert len({segment.mask.counts for segment in segments}) == 4  # it depends on the prompt


@families
def test_multimask_returns_three_masks_best_first(family: str, engine: Any, models: Models) -> None:
    segments = found(engine, prompts=[POINT], multimask=True)

    expected = by_the_library(models(family), family, POINT, several=True)
    assert len(segments) == 3
    assert all(same(segment, *one) for segment, one in zip(segments, expected, strict=True))


@families
def test_images_of_one_or_several_requests_get_the_same_masks(family: str, engine: Any, models: Models) -> None:
    images = [PICTURE, OTHER, PICTURE.resize((70, 90))]
    prompts = [POINTS, {**BOX, "score": 0.5}]

    together = items(engine, images=[uri(image) for image in images], prompts=prompts)
    calls = [call(image, prompts=prompts) for image in images]
    alone = [answer.data[0] for _, answer in engine.segment(calls)]

    assert [item.segments for item in together] == [item.segments for item in alone]
    assert [(item.width, item.height) for item in together] == [(80, 60), (80, 60), (70, 90)]
    assert together[0].segments != together[1].segments  # it depends on the picture
    for item, image in zip(together, images, strict=True):
        for segment, prompt in zip(item.segments, prompts, strict=True):
            assert same(segment, *by_the_library(models(family), family, prompt, image)[0])


def test_each_box_of_a_prompt_is_an_object(models: Models) -> None:
    boxes = [[6, 6, 37, 29], [40, 20, 75, 55]]

    together = found(load(models("sam2")), prompts=[{"boxes": boxes}])

    alone = [found(load(models("sam2")), prompts=[{"boxes": [box]}])[0] for box in boxes]
    alone.sort(key=lambda segment: -segment.score)
    assert len(together) == 2
    assert all(alike(*pair) for pair in zip(together, alone, strict=True))


# Thresholds -------------------------------------------------------------------------------------------------------


@families
def test_threshold_drops_segments_with_lower_scores(family: str, engine: Any) -> None:
    best, second, _ = found(engine, prompts=[POINT], multimask=True)
    between = max((best.score + second.score) / 2, 0)

    assert found(engine, prompts=[POINT], multimask=True, threshold=between) == [best]
    assert found(engine, prompts=[POINT], multimask=True, threshold=1) == []


def test_higher_mask_threshold_makes_masks_smaller(models: Models) -> None:
    engine = load(models("sam"))
    masks = [found(engine, prompts=[POINTS], mask_threshold=least)[0] for least in (0, 0.3, 0.5, 0.7, 1)]

    assert masks[2] == found(engine, prompts=[POINTS])[0]
    assert masks[0].area == 80 * 60
    assert masks[0].area > masks[1].area > masks[2].area > masks[3].area > masks[4].area == 0
    assert masks[4].box == (0, 0, 0, 0)
    small, large = decoded(masks[3].mask), decoded(masks[1].mask)
    assert (small & large).sum() == small.sum()


# Everything -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [{}, {"min_stability": 0.2, "max_overlap": 0.95}], ids=str)
@families
def test_automatic_masks_match_the_transformers_pipeline(family: str, kept: dict[str, float], models: Models) -> None:
    from transformers import MaskGenerationPipeline

    square = PICTURE.resize((64, 64))
    model, processor = library(models(family), FAMILIES[family])
    expected = MaskGenerationPipeline(model=model, image_processor=processor.image_processor, device="cpu")(
        square,
        points_per_crop=3,
        pred_iou_thresh=0.0,
        stability_score_thresh=kept.get("min_stability", 0.0),
        crops_nms_thresh=kept.get("max_overlap", 1.0),
    )

    engine = load(models(family), **kept)
    segments = found(engine, square, automatic=True)

    assert len(segments) == len(expected["masks"])
    assert len(segments) == 27 or (kept and 0 < len(segments) < 27)
    assert [segment.prompt for segment in segments] == [None] * len(segments)
    assert all(map(same, segments, expected["masks"], expected["scores"]))
    assert segments != found(engine, OTHER.resize((64, 64)), automatic=True)


@families
def test_point_grid_covers_the_whole_image(family: str, engine: Any) -> None:
    sam = getattr(engine._model, "_tracker", engine._model)
    everything = sam._automatic
    [asked] = [everything._stretched(inputs) for inputs in everything._passes(_Opened(PICTURE))]

    seen = sam._embed(PICTURE).input_size
    points = asked["input_points"][0, :, 0]
    assert points.min(dim=0).values.tolist() == pytest.approx([seen[1] / 6, seen[0] / 6], abs=0.5)
    assert points.max(dim=0).values.tolist() == pytest.approx([seen[1] * 5 / 6, seen[0] * 5 / 6], abs=0.5)


class _Opened:
    """Of a picture what a grid looks at."""

    def __init__(self, image: Image.Image) -> None:
        self.pil, self.width, self.height = image, image.width, image.height


def test_points_per_pass_does_not_change_the_masks(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load(models("sam2"))
    whole = found(engine, automatic=True)
    monkeypatch.setattr("workers.engines.transformers_segment.automatic._MAX_MASK_VALUES", 3 * 80 * 60 * 4)

    parts = found(engine, automatic=True)

    assert len(parts) == len(whole)
    assert all(alike(*pair) for pair in zip(parts, whole, strict=True))


def test_crop_layers_add_passes_over_crops(models: Models) -> None:
    everything = load(models("sam2"), crop_layers=1)._model._automatic

    passes = list(everything._passes(_Opened(PICTURE)))

    assert [inputs["input_boxes"].tolist()[0] for inputs in passes][:2] == [[0, 0, 80, 60], [0, 0, 50, 40]]
    assert len(passes) == 1 + 4


def test_request_threshold_overrides_min_score(models: Models) -> None:
    everything = found(load(models("sam2")), automatic=True)
    middle = everything[len(everything) // 2].score

    better = found(load(models("sam2"), min_score=1.0), automatic=True, threshold=middle)

    assert better == [segment for segment in everything if segment.score > middle]
    assert found(load(models("sam2"), min_score=1.0), automatic=True) == []


# Who has left -----------------------------------------------------------------------------------------------------


def test_cancelling_stops_between_passes(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load(models("sam2"))
    asked: Call[Any] = call(prompts=[POINT, POINTS, BOX])
    passes = []
    find = engine._model._decode

    def leave(*arguments: Any) -> Any:
        passes.append(arguments)
        asked.cancel()
        return find(*arguments)

    monkeypatch.setattr(engine._model, "_decode", leave)

    assert list(engine.segment([asked])) == []
    assert len(passes) == 1


def test_half_precision_scores_are_close(models: Models) -> None:
    whole, half = (found(load(models("sam2"), dtype), prompts=[POINTS, BOX]) for dtype in ("float32", "bfloat16"))

    assert [segment.score for segment in half] == pytest.approx([segment.score for segment in whole], abs=0.05)
