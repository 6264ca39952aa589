"""Masks of SAM, SAM-HQ, SAM 2 and SAM 3's tracker for points, boxes and whole images match those of transformers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Models
from tests.support.odd_images import uri
from tests.support.segment_engines import IMAGE, ROTATED, call, decoded, equivalent, items, load, matches, segments_of
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
POINTS_AND_BOX = {**POINTS, **BOX}

families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def engine(family: str, models: Models) -> Any:
    return load(models(family))


@cache
def reference(folder: Path, processor: str) -> tuple[Any, Any]:
    """Model and processor, loaded with transformers."""
    import transformers

    model = transformers.AutoModelForMaskGeneration.from_pretrained(folder).eval()
    return model, getattr(transformers, processor).from_pretrained(folder)


def reference_masks(
    folder: Path, family: str, prompt: dict[str, Any], image: Image.Image = IMAGE, *, multimask: bool = False
) -> list[tuple[Any, float]]:
    """Masks and scores that transformers predicts for a prompt with one object, best first."""
    import torch

    model, processor = reference(folder, FAMILIES[family])
    prompt_inputs: dict[str, Any] = {}
    if "points" in prompt:
        prompt_inputs["input_points"] = [[[[float(x), float(y)] for x, y in prompt["points"]]]]
        prompt_inputs["input_labels"] = [[prompt.get("point_labels", [1])]]
    if "boxes" in prompt:
        prompt_inputs["input_boxes"] = [[[float(number) for number in prompt["boxes"][0]]]]
    inputs = processor(images=image, return_tensors="pt", **prompt_inputs)
    original_sizes, reshaped_sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes", None)
    inputs = {name: value.float() if value.is_floating_point() else value for name, value in inputs.items()}
    with torch.no_grad():
        outputs = model(**inputs, multimask_output=multimask)
    [[masks]] = processor.post_process_masks(
        outputs.pred_masks,
        original_sizes,
        **({} if reshaped_sizes is None else {"reshaped_input_sizes": reshaped_sizes}),
    )
    pairs = zip(masks.numpy(), outputs.iou_scores[0, 0].tolist(), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


# Points and boxes -------------------------------------------------------------------------------------------------


@families
def test_masks_of_points_and_boxes_match_transformers(family: str, engine: Any, models: Models) -> None:
    prompts = [POINTS, {**BOX, "score": 0.5}, POINTS_AND_BOX, POINT]

    segments = segments_of(engine, prompts=prompts)

    expected = [reference_masks(models(family), family, prompt)[0] for prompt in prompts[:3]]
    expected.append(reference_masks(models(family), family, POINT, multimask=True)[0])  # ambiguous
    assert [segment.prompt for segment in segments] == [0, 1, 2, 3]
    assert all(matches(segment, *mask) for segment, mask in zip(segments, expected, strict=True))
    assert len({segment.mask.counts for segment in segments}) == 4  # masks depend on the prompt


@families
def test_multimask_returns_three_masks_best_first(family: str, engine: Any, models: Models) -> None:
    segments = segments_of(engine, prompts=[POINT], multimask=True)

    expected = reference_masks(models(family), family, POINT, multimask=True)
    assert len(segments) == 3
    assert all(matches(segment, *mask) for segment, mask in zip(segments, expected, strict=True))


@families
def test_images_of_one_or_several_requests_get_the_same_masks(family: str, engine: Any, models: Models) -> None:
    images = [IMAGE, ROTATED, IMAGE.resize((70, 90))]
    prompts = [POINTS, {**BOX, "score": 0.5}]

    together = items(engine, images=[uri(image) for image in images], prompts=prompts)
    calls = [call(image, prompts=prompts) for image in images]
    alone = [answer.data[0] for _, answer in engine.segment(calls)]

    assert [item.segments for item in together] == [item.segments for item in alone]
    assert [(item.width, item.height) for item in together] == [(80, 60), (80, 60), (70, 90)]
    assert together[0].segments != together[1].segments  # masks depend on the image
    for item, image in zip(together, images, strict=True):
        for segment, prompt in zip(item.segments, prompts, strict=True):
            assert matches(segment, *reference_masks(models(family), family, prompt, image)[0])


def test_each_box_of_a_prompt_is_an_object(models: Models) -> None:
    boxes = [[6, 6, 37, 29], [40, 20, 75, 55]]

    together = segments_of(load(models("sam2")), prompts=[{"boxes": boxes}])

    alone = [segments_of(load(models("sam2")), prompts=[{"boxes": [box]}])[0] for box in boxes]
    alone.sort(key=lambda segment: -segment.score)
    assert len(together) == 2
    assert all(equivalent(*pair) for pair in zip(together, alone, strict=True))


# Thresholds -------------------------------------------------------------------------------------------------------


@families
def test_threshold_drops_segments_with_lower_scores(family: str, engine: Any) -> None:
    best, second, _ = segments_of(engine, prompts=[POINT], multimask=True)
    between = max((best.score + second.score) / 2, 0)

    assert segments_of(engine, prompts=[POINT], multimask=True, threshold=between) == [best]
    assert segments_of(engine, prompts=[POINT], multimask=True, threshold=1) == []


def test_higher_mask_threshold_makes_masks_smaller(models: Models) -> None:
    engine = load(models("sam"))
    masks = [segments_of(engine, prompts=[POINTS], mask_threshold=threshold)[0] for threshold in (0, 0.3, 0.5, 0.7, 1)]

    assert masks[2] == segments_of(engine, prompts=[POINTS])[0]
    assert masks[0].area == 80 * 60
    assert masks[0].area > masks[1].area > masks[2].area > masks[3].area > masks[4].area == 0
    assert masks[4].box == (0, 0, 0, 0)
    small, large = decoded(masks[3].mask), decoded(masks[1].mask)
    assert (small & large).sum() == small.sum()


# Automatic --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"min_stability": 0.2, "max_overlap": 0.95}], ids=str)
@families
def test_automatic_masks_match_transformers(family: str, options: dict[str, float], models: Models) -> None:
    from transformers import MaskGenerationPipeline

    square = IMAGE.resize((64, 64))
    model, processor = reference(models(family), FAMILIES[family])
    expected = MaskGenerationPipeline(model=model, image_processor=processor.image_processor, device="cpu")(
        square,
        points_per_crop=3,
        pred_iou_thresh=0.0,
        stability_score_thresh=options.get("min_stability", 0.0),
        crops_nms_thresh=options.get("max_overlap", 1.0),
    )

    engine = load(models(family), **options)
    segments = segments_of(engine, square, automatic=True)

    assert len(segments) == len(expected["masks"])
    assert len(segments) == 27 or (options and 0 < len(segments) < 27)
    assert [segment.prompt for segment in segments] == [None] * len(segments)
    assert all(map(matches, segments, expected["masks"], expected["scores"]))
    assert segments != segments_of(engine, ROTATED.resize((64, 64)), automatic=True)


@families
def test_point_grid_covers_the_whole_image(family: str, engine: Any) -> None:
    sam = getattr(engine._model, "_tracker", engine._model)
    generator = sam._automatic
    [inputs] = [generator._stretched(inputs) for inputs in generator._passes(_OpenedImage(IMAGE))]

    height, width = sam._embed(IMAGE).input_size
    points = inputs["input_points"][0, :, 0]
    assert points.min(dim=0).values.tolist() == pytest.approx([width / 6, height / 6], abs=0.5)
    assert points.max(dim=0).values.tolist() == pytest.approx([width * 5 / 6, height * 5 / 6], abs=0.5)


class _OpenedImage:
    """The attributes of a BatchImage that the generator reads."""

    def __init__(self, image: Image.Image) -> None:
        self.pil, self.width, self.height = image, image.width, image.height


def test_points_per_pass_does_not_change_the_masks(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load(models("sam2"))
    one_pass = segments_of(engine, automatic=True)
    monkeypatch.setattr("workers.engines.transformers_segment.automatic._MAX_MASK_VALUES", 3 * 80 * 60 * 4)

    several_passes = segments_of(engine, automatic=True)

    assert len(several_passes) == len(one_pass)
    assert all(equivalent(*pair) for pair in zip(several_passes, one_pass, strict=True))


def test_crop_layers_add_passes_over_crops(models: Models) -> None:
    generator = load(models("sam2"), crop_layers=1)._model._automatic

    passes = list(generator._passes(_OpenedImage(IMAGE)))

    assert [inputs["input_boxes"].tolist()[0] for inputs in passes][:2] == [[0, 0, 80, 60], [0, 0, 50, 40]]
    assert len(passes) == 1 + 4


def test_request_threshold_overrides_min_score(models: Models) -> None:
    segments = segments_of(load(models("sam2")), automatic=True)
    median = segments[len(segments) // 2].score

    better = segments_of(load(models("sam2"), min_score=1.0), automatic=True, threshold=median)

    assert better == [segment for segment in segments if segment.score > median]
    assert segments_of(load(models("sam2"), min_score=1.0), automatic=True) == []


# Cancelling and precision -----------------------------------------------------------------------------------------


def test_cancelling_stops_between_passes(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load(models("sam2"))
    cancelled: Call[Any] = call(prompts=[POINT, POINTS, BOX])
    passes = []
    decode = engine._model._decode

    def decode_and_cancel(*arguments: Any) -> Any:
        passes.append(arguments)
        cancelled.cancel()
        return decode(*arguments)

    monkeypatch.setattr(engine._model, "_decode", decode_and_cancel)

    assert list(engine.segment([cancelled])) == []
    assert len(passes) == 1


def test_half_precision_scores_are_close(models: Models) -> None:
    full, half = (segments_of(load(models("sam2"), dtype), prompts=[POINTS, BOX]) for dtype in ("float32", "bfloat16"))

    assert [segment.score for segment in half] == pytest.approx([segment.score for segment in full], abs=0.05)
