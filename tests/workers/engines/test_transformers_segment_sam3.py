"""SAM 3's masks for text and example boxes match those of transformers, and its tracker takes points."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract.errors import ContextTooLong, InvalidField, ServeError, UnsupportedFeature
from tests.conftest import Models
from tests.support.odd_images import uri
from tests.support.segment_engines import IMAGE, ROTATED, call, decoded, items, load, matches, refusal, segments_of

TEXT = {"text": "red box"}
EXAMPLE = {"boxes": [[6, 6, 37, 29]]}
COUNTEREXAMPLE = {"boxes": [[6, 6, 37, 29], [40, 20, 75, 55]], "box_labels": [1, 0]}
PROMPTS = [TEXT, {"text": "ball"}, EXAMPLE, COUNTEREXAMPLE, {**TEXT, **COUNTEREXAMPLE}]
POINT = {"points": [[20, 20]]}


@pytest.fixture
def sam3(models: Models) -> Any:
    return load(models("sam3"))


@cache
def reference(folder: Path) -> tuple[Any, Any]:
    from transformers import Sam3Model, Sam3Processor

    return Sam3Model.from_pretrained(folder).eval(), Sam3Processor.from_pretrained(folder)


def reference_masks(
    folder: Path, prompt: dict[str, Any], image: Image.Image, threshold: float
) -> tuple[list[Any], Any]:
    """Masks and scores of the instances that transformers predicts, best first, and the semantic mask."""
    import torch

    model, processor = reference(folder)
    examples: dict[str, Any] = {}
    if "boxes" in prompt:
        examples["input_boxes"] = [[[float(number) for number in box] for box in prompt["boxes"]]]
        examples["input_boxes_labels"] = [prompt.get("box_labels", [1])]
    inputs = processor(images=image, text=prompt.get("text"), return_tensors="pt", **examples)
    sizes = inputs.pop("original_sizes").tolist()
    with torch.no_grad():
        outputs = model(**inputs)
    [result] = processor.post_process_instance_segmentation(outputs, threshold=threshold, target_sizes=sizes)
    [semantic] = processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)
    pairs = zip(result["masks"].numpy(), result["scores"].tolist(), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1]), semantic.numpy()


# Text and examples ------------------------------------------------------------------------------------------------


def test_instance_and_semantic_masks_match_transformers(sam3: Any, models: Models) -> None:
    images = [IMAGE, ROTATED]
    answered = items(sam3, images=[uri(image) for image in images], prompts=PROMPTS, threshold=0.2, semantic=True)

    for item, image in zip(answered, images, strict=True):
        assert item.semantic
        assert [semantic.prompt for semantic in item.semantic] == [0, 1, 2, 3, 4]
        for index, (prompt, semantic) in enumerate(zip(PROMPTS, item.semantic, strict=True)):
            expected, expected_semantic = reference_masks(models("sam3"), prompt, image, 0.2)
            segments = [segment for segment in item.segments if segment.prompt == index]
            assert len(segments) == len(expected) > 0
            assert all(matches(segment, *mask) for segment, mask in zip(segments, expected, strict=True))
            assert (decoded(semantic.mask) ^ expected_semantic.astype(bool)).sum() <= 2
    assert [segment.prompt for segment in answered[0].segments] == sorted(
        segment.prompt or 0 for segment in answered[0].segments
    )


def test_masks_depend_on_prompts_labels_and_image(sam3: Any) -> None:
    segments, rotated = (segments_of(sam3, image, prompts=PROMPTS, threshold=0.2) for image in (IMAGE, ROTATED))

    best = {segment.prompt: segment.mask.counts for segment in reversed(segments)}
    assert len(set(best.values())) == len(PROMPTS)
    assert segments != rotated


def test_images_in_one_request_get_the_same_masks_as_alone(sam3: Any) -> None:
    together = items(sam3, images=[uri(IMAGE), uri(ROTATED)], prompt=["red box", "ball"], threshold=0.2)
    calls = [call(image, prompt=["red box", "ball"], threshold=0.2) for image in (IMAGE, ROTATED)]

    assert [item.segments for item in together] == [answer.data[0].segments for _, answer in sam3.segment(calls)]


def test_an_image_is_encoded_once_for_all_prompts(sam3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pixel_shapes = []
    encode = sam3._model._model.get_vision_features
    monkeypatch.setattr(
        sam3._model._model, "get_vision_features", lambda pixels: pixel_shapes.append(pixels.shape) or encode(pixels)
    )

    items(sam3, images=[uri(IMAGE), uri(ROTATED)], prompts=PROMPTS)

    assert pixel_shapes == [(1, 3, 112, 112)] * 2


def test_labels_are_the_prompts_label_or_text(sam3: Any) -> None:
    prompts = [TEXT, {**EXAMPLE, "label": "crate"}, EXAMPLE]
    [item] = items(sam3, prompts=prompts, threshold=0.2, semantic=True)

    labels = ["red box", "crate", None]
    assert [semantic.label for semantic in item.semantic or []] == labels
    assert {(segment.prompt, segment.label) for segment in item.segments} == set(enumerate(labels))


def test_thresholds_filter_instances_and_pixels(sam3: Any) -> None:
    segments = segments_of(sam3, prompt="red box", threshold=0)
    fifth_score = segments[4].score

    assert len(segments) == 10
    assert segments_of(sam3, prompt="red box", threshold=fifth_score) == segments[:4]
    assert segments_of(sam3, prompt="red box") == [segment for segment in segments if segment.score > 0.5]
    low, high = (segments_of(sam3, prompt="red box", threshold=0, mask_threshold=value) for value in (0.3, 0.7))
    assert sum(segment.area for segment in low) > sum(segment.area for segment in segments)
    assert sum(segment.area for segment in high) < sum(segment.area for segment in segments)


# Tracker ----------------------------------------------------------------------------------------------------------


def test_tracker_shares_the_detectors_backbone(sam3: Any) -> None:
    segments_of(sam3, prompts=[POINT])

    model = sam3._model
    assert model._tracker._model.vision_encoder.backbone is model._model.vision_encoder.backbone


def test_detector_boxes_mark_objects_not_examples(sam3: Any) -> None:
    detected = {**EXAMPLE, "label": "crate", "score": 0.75}
    [segment] = segments_of(sam3, prompts=[detected])

    assert (segment.label, segment.detection_score) == ("crate", 0.75)
    assert len(segments_of(sam3, prompts=[EXAMPLE], threshold=0.2)) > 1


def test_segments_are_in_the_order_of_their_prompts(sam3: Any) -> None:
    segments = segments_of(sam3, prompts=[TEXT, POINT, {"text": "ball"}], threshold=0.2)

    prompts = [segment.prompt for segment in segments]
    assert prompts == sorted(prompts, key=lambda prompt: prompt or 0)
    assert set(prompts) == {0, 1, 2}
    [alone] = segments_of(sam3, prompts=[POINT])
    assert next(segment for segment in segments if segment.prompt == 1).mask == alone.mask


def test_without_tracker_only_text_and_examples_work(models: Models) -> None:
    engine = load(models("sam3_detector"))

    assert engine.loaded_features() == {"prompt", "semantic", "box_labels"}
    assert len(segments_of(engine, prompts=PROMPTS, threshold=0)) == 10 * len(PROMPTS)
    assert isinstance(refusal(engine, prompts=[POINT]), UnsupportedFeature)
    assert isinstance(refusal(engine, automatic=True), UnsupportedFeature)
    assert "has no tracker" in refusal(engine, prompts=[{**EXAMPLE, "score": 0.75}]).message


# Refusals and cancelling ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error_type", "message"),
    [
        ({}, InvalidField, "`prompt` with words"),
        ({"prompt": "word " * 30}, ContextTooLong, "short noun phrase"),
        ({"prompts": [{**TEXT, **POINT}]}, InvalidField, "a prompt for each"),
        ({"prompts": [POINT], "semantic": True}, InvalidField, "`semantic`"),
        ({"prompts": [{**POINT, **COUNTEREXAMPLE}]}, InvalidField, "only one box"),
    ],
)
def test_rejects_contradictory_prompts(sam3: Any, fields: Any, error_type: type[ServeError], message: str) -> None:
    error = refusal(sam3, **fields)

    assert isinstance(error, error_type)
    assert message in error.message


def test_cancelling_stops_between_prompts(sam3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = call(prompts=PROMPTS)
    prompt_inputs = sam3._model._prompt_inputs
    passes = []

    def cancel(*arguments: Any) -> Any:
        passes.append(arguments)
        cancelled.cancel()
        return prompt_inputs(*arguments)

    monkeypatch.setattr(sam3._model, "_prompt_inputs", cancel)

    assert list(sam3.segment([cancelled])) == []
    assert len(passes) == 1


def test_half_precision_scores_are_close(models: Models) -> None:
    full, half = (
        segments_of(load(models("sam3"), dtype), prompts=PROMPTS, threshold=0) for dtype in ("float32", "bfloat16")
    )

    assert [segment.score for segment in half] == pytest.approx([segment.score for segment in full], abs=0.02)
