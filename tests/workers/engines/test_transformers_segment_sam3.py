"""SAM 3: what words and examples describe is what the library finds, and its tracker follows what points."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract.errors import ContextTooLong, InvalidField, ServeError, UnsupportedFeature
from tests.conftest import Models
from tests.support.odd_images import uri
from tests.support.segment_engines import OTHER, PICTURE, call, decoded, found, items, load, refused, same

WORDS = {"text": "red box"}
EXAMPLE = {"boxes": [[6, 6, 37, 29]]}
COUNTEREXAMPLE = {"boxes": [[6, 6, 37, 29], [40, 20, 75, 55]], "box_labels": [1, 0]}
PROMPTS = [WORDS, {"text": "ball"}, EXAMPLE, COUNTEREXAMPLE, {**WORDS, **COUNTEREXAMPLE}]
POINT = {"points": [[20, 20]]}


@pytest.fixture
def sam3(models: Models) -> Any:
    return load(models("sam3"))


@cache
def library(folder: Path) -> tuple[Any, Any]:
    from transformers import Sam3Model, Sam3Processor

    return Sam3Model.from_pretrained(folder).eval(), Sam3Processor.from_pretrained(folder)


def by_the_library(folder: Path, prompt: dict[str, Any], image: Image.Image, least: float) -> tuple[list[Any], Any]:
    """Masks and scores of the instances, the best first, and the semantic mask."""
    import torch

    model, processor = library(folder)
    examples: dict[str, Any] = {}
    if "boxes" in prompt:
        examples["input_boxes"] = [[[float(number) for number in box] for box in prompt["boxes"]]]
        examples["input_boxes_labels"] = [prompt.get("box_labels", [1])]
    inputs = processor(images=image, text=prompt.get("text"), return_tensors="pt", **examples)
    sizes = inputs.pop("original_sizes").tolist()
    with torch.no_grad():
        outputs = model(**inputs)
    [result] = processor.post_process_instance_segmentation(outputs, threshold=least, target_sizes=sizes)
    [everything] = processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)
    pairs = zip(result["masks"].numpy(), result["scores"].tolist(), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1]), everything.numpy()


# Words and examples -----------------------------------------------------------------------------------------------


def test_instance_and_semantic_masks_match_transformers(sam3: Any, models: Models) -> None:
    images = [PICTURE, OTHER]
    answer = items(sam3, images=[uri(one) for one in images], prompts=PROMPTS, threshold=0.2, semantic=True)

    for item, image in zip(answer, images, strict=True):
        assert item.semantic
        assert [fitting.prompt for fitting in item.semantic] == [0, 1, 2, 3, 4]
        for index, (prompt, fitting) in enumerate(zip(PROMPTS, item.semantic, strict=True)):
            expected, everything = by_the_library(models("sam3"), prompt, image, 0.2)
            segments = [segment for segment in item.segments if segment.prompt == index]
            assert len(segments) == len(expected) > 0
            assert all(same(segment, *one) for segment, one in zip(segments, expected, strict=True))
            assert (decoded(fitting.mask) ^ everything.astype(bool)).sum() <= 2
    assert [segment.prompt for segment in answer[0].segments] == sorted(one.prompt or 0 for one in answer[0].segments)


def test_masks_depend_on_prompts_labels_and_image(sam3: Any) -> None:
    one, other = (found(sam3, image, prompts=PROMPTS, threshold=0.2) for image in (PICTURE, OTHER))

    best = {segment.prompt: segment.mask.counts for segment in reversed(one)}
    assert len(set(best.values())) == len(PROMPTS)
    assert one != other


def test_images_in_one_request_get_the_same_masks_as_alone(sam3: Any) -> None:
    together = items(sam3, images=[uri(PICTURE), uri(OTHER)], prompt=["red box", "ball"], threshold=0.2)
    calls = [call(image, prompt=["red box", "ball"], threshold=0.2) for image in (PICTURE, OTHER)]

    assert [item.segments for item in together] == [answer.data[0].segments for _, answer in sam3.segment(calls)]


def test_an_image_is_encoded_once_for_all_prompts(sam3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = sam3._model._model.get_vision_features
    monkeypatch.setattr(
        sam3._model._model, "get_vision_features", lambda pixels: looks.append(pixels.shape) or look(pixels)
    )

    items(sam3, images=[uri(PICTURE), uri(OTHER)], prompts=PROMPTS)

    assert looks == [(1, 3, 112, 112)] * 2


def test_labels_are_the_prompts_label_or_text(sam3: Any) -> None:
    prompts = [WORDS, {**EXAMPLE, "label": "crate"}, EXAMPLE]
    [item] = items(sam3, prompts=prompts, threshold=0.2, semantic=True)

    labels = ["red box", "crate", None]
    assert [fitting.label for fitting in item.semantic or []] == labels
    assert {(segment.prompt, segment.label) for segment in item.segments} == set(enumerate(labels))


def test_thresholds_filter_instances_and_pixels(sam3: Any) -> None:
    every = found(sam3, prompt="red box", threshold=0)
    middle = every[4].score

    assert len(every) == 10
    assert found(sam3, prompt="red box", threshold=middle) == every[:4]
    assert found(sam3, prompt="red box") == [segment for segment in every if segment.score > 0.5]
    low, high = (found(sam3, prompt="red box", threshold=0, mask_threshold=least) for least in (0.3, 0.7))
    assert sum(segment.area for segment in low) > sum(segment.area for segment in every)
    assert sum(segment.area for segment in high) < sum(segment.area for segment in every)


# What points ------------------------------------------------------------------------------------------------------


def test_tracker_shares_the_detectors_backbone(sam3: Any) -> None:
    found(sam3, prompts=[POINT])

    family = sam3._model
    assert family._tracker._model.vision_encoder.backbone is family._model.vision_encoder.backbone


def test_detector_boxes_mark_objects_not_examples(sam3: Any) -> None:
    detected = {**EXAMPLE, "label": "crate", "score": 0.75}
    [segment] = found(sam3, prompts=[detected])

    assert (segment.label, segment.detection_score) == ("crate", 0.75)
    assert len(found(sam3, prompts=[EXAMPLE], threshold=0.2)) > 1


def test_segments_are_in_the_order_of_their_prompts(sam3: Any) -> None:
    segments = found(sam3, prompts=[WORDS, POINT, {"text": "ball"}], threshold=0.2)

    prompts = [segment.prompt for segment in segments]
    assert prompts == sorted(prompts, key=lambda prompt: prompt or 0)
    assert set(prompts) == {0, 1, 2}
    assert next(segment for segment in segments if segment.prompt == 1).mask == found(sam3, prompts=[POINT])[0].mask


def test_without_tracker_only_text_and_examples_work(models: Models) -> None:
    engine = load(models("sam3_detector"))

    assert engine.loaded_features() == {"prompt", "semantic", "box_labels"}
    assert len(found(engine, prompts=PROMPTS, threshold=0)) == 10 * len(PROMPTS)
    assert isinstance(refused(engine, prompts=[POINT]), UnsupportedFeature)
    assert isinstance(refused(engine, automatic=True), UnsupportedFeature)
    assert "has no tracker" in refused(engine, prompts=[{**EXAMPLE, "score": 0.75}]).message


# What cannot be answered ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kind", "says"),
    [
        ({}, InvalidField, "`prompt` with words"),
        ({"prompt": "word " * 30}, ContextTooLong, "short noun phrase"),
        ({"prompts": [{**WORDS, **POINT}]}, InvalidField, "a prompt for each"),
        ({"prompts": [POINT], "semantic": True}, InvalidField, "`semantic`"),
        ({"prompts": [{**POINT, **COUNTEREXAMPLE}]}, InvalidField, "only one box"),
    ],
)
def test_rejects_contradictory_prompts(sam3: Any, fields: Any, kind: type[ServeError], says: str) -> None:
    error = refused(sam3, **fields)

    assert isinstance(error, kind)
    assert says in error.message


def test_cancelling_stops_between_prompts(sam3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = call(prompts=PROMPTS)
    described = sam3._model._prompt_inputs
    passes = []

    def leave(*arguments: Any) -> Any:
        passes.append(arguments)
        asked.cancel()
        return described(*arguments)

    monkeypatch.setattr(sam3._model, "_prompt_inputs", leave)

    assert list(sam3.segment([asked])) == []
    assert len(passes) == 1


def test_half_precision_scores_are_close(models: Models) -> None:
    whole, half = (
        found(load(models("sam3"), dtype), prompts=PROMPTS, threshold=0) for dtype in ("float32", "bfloat16")
    )

    assert [segment.score for segment in half] == pytest.approx([segment.score for segment in whole], abs=0.02)
