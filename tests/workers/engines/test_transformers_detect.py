"""Detection: each family's boxes match those of transformers, and labels come back as the client wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scripts.testbed.models import detect as tiny_models
from tests.conftest import Models
from tests.support.detect_engines import (
    CLOSED_SET,
    GROUNDING,
    LABELS,
    OPEN_SET,
    OWL,
    ROTATED,
    UPRIGHT,
    WIDE,
    DetectEngine,
    DetectionRow,
    close,
    detect,
    prompt_fields,
    request,
    rows,
)
from tests.support.odd_images import ODD_IMAGES, OddImage

# Compared with transformers --------------------------------------------------------------------------------------


def reference_rows(folder: str, images: list[Image.Image], family: str) -> list[list[DetectionRow]]:
    """What transformers detects in each image: rows with labels, boxes clipped to the image, best first."""
    import torch
    from transformers import (
        AutoImageProcessor,
        AutoModelForObjectDetection,
        AutoModelForZeroShotObjectDetection,
        AutoProcessor,
    )

    open_set = family in OPEN_SET
    processor = (AutoProcessor if open_set else AutoImageProcessor).from_pretrained(folder)
    model = (AutoModelForZeroShotObjectDetection if open_set else AutoModelForObjectDetection).from_pretrained(folder)
    sizes = [(image.height, image.width) for image in images]
    with torch.inference_mode():
        texts = {"text": [LABELS] * len(images)} if open_set else {}
        inputs = processor(images=images, return_tensors="pt", **texts)
        outputs = model.eval()(**inputs)
    if family in GROUNDING:
        detected = processor.post_process_grounded_object_detection(
            outputs, inputs.input_ids, threshold=0.0, text_threshold=0.0, target_sizes=sizes
        )
    elif family in OWL:
        detected = processor.post_process_grounded_object_detection(
            outputs, threshold=0.0, target_sizes=sizes, text_labels=[LABELS] * len(images)
        )
    else:
        detected = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
        for detections in detected:
            detections["text_labels"] = [model.config.id2label[int(label)] for label in detections["labels"]]
    return [_sorted_rows(detections, image) for detections, image in zip(detected, images, strict=True)]


def _sorted_rows(detections: Any, image: Image.Image) -> list[DetectionRow]:
    sides = (image.width, image.height) * 2
    boxes = [
        tuple(min(max(coordinate, 0), side) for coordinate, side in zip(box, sides, strict=True))
        for box in detections["boxes"].tolist()
    ]
    rows = zip(detections["text_labels"], detections["scores"].tolist(), boxes, strict=True)
    return sorted(rows, key=lambda row: -row[1])


@pytest.mark.parametrize("family", [*OPEN_SET, *CLOSED_SET])
def test_tiny_models_have_the_same_weights_each_time(family: str, tmp_path: Path) -> None:
    """Whatever torch's own generator has been used for before."""
    import torch

    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        getattr(tiny_models, f"build_{family}")(folder)
        weights.append((folder / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize("family", [*OPEN_SET, *CLOSED_SET])
def test_boxes_match_transformers_alone_and_batched(family: str, detector: DetectEngine, models: Models) -> None:
    engine, fields = detector(family), prompt_fields(family) | ({"text_threshold": 0} if family in GROUNDING else {})
    expected = reference_rows(str(models(family)), [UPRIGHT, ROTATED], family)

    [[alone]] = detect(engine, request(UPRIGHT, **fields))
    [[batched], [rotated, repeated]] = detect(engine, request(UPRIGHT, **fields), request(ROTATED, UPRIGHT, **fields))

    assert len(expected[0]) >= tiny_models.QUERIES
    if family in GROUNDING:  # transformers labels boxes with single words, see the next test
        expected = [
            [(row[0], *expected_row[1:]) for row, expected_row in zip(rows(item), expected_rows, strict=True)]
            for item, expected_rows in zip([alone, rotated], expected, strict=True)
        ]
    assert all(close(item, expected[0]) for item in (alone, batched, repeated))
    assert close(rotated, expected[1])
    assert not close(batched, expected[1])  # boxes depend on the image


@pytest.mark.parametrize("family", GROUNDING)
def test_box_gets_the_label_of_its_best_word(family: str, detector: DetectEngine, models: Models) -> None:
    import torch
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    [[item]] = detect(detector(family), request(UPRIGHT, prompt=["Cat", "Remote control"], text_threshold=0))
    processor = AutoProcessor.from_pretrained(models(family))
    inputs = processor(images=UPRIGHT, text="cat. remote control.", return_tensors="pt")
    words = processor.tokenizer.convert_ids_to_tokens(inputs.input_ids[0])
    with torch.inference_mode():
        logits = AutoModelForZeroShotObjectDetection.from_pretrained(models(family)).eval()(**inputs).logits[0]

    assert words == ["[CLS]", "cat", ".", "remote", "control", ".", "[SEP]"]
    best = sorted(zip(logits.amax(-1).tolist(), logits[:, [1, 3, 4]].argmax(-1).tolist(), strict=True), reverse=True)
    assert [detection.label for detection in item.detections] == [
        ["Cat", "Remote control"][word > 0] for _, word in best
    ]
    assert {detection.label for detection in item.detections} == {"Cat", "Remote control"}


@pytest.mark.parametrize("family", ["grounding_dino", "detr", "rt_detr", "owlv2"])
def test_images_of_other_sizes_in_the_call_change_nothing(family: str, detector: DetectEngine) -> None:
    engine, fields = detector(family), prompt_fields(family)
    alone = [detect(engine, request(image, **fields))[0][0] for image in (UPRIGHT, WIDE)]
    [together] = detect(engine, request(UPRIGHT, WIDE, **fields))
    assert all(close(item, rows(single)) for item, single in zip(together, alone, strict=True))
    assert [(item.index, item.width, item.height) for item in together] == [(0, 80, 60), (1, 120, 50)]


@pytest.mark.parametrize("family", OPEN_SET)
def test_detections_depend_on_the_prompt(family: str, detector: DetectEngine) -> None:
    calls = request(UPRIGHT, prompt="cat"), request(UPRIGHT, prompt="a remote control")
    [cat], [control] = detect(detector(family), *calls)
    assert [detection.score for detection in cat.detections] != [detection.score for detection in control.detections]
    assert {detection.label for detection in cat.detections} == {"cat"}
    assert {detection.label for detection in control.detections} == {"a remote control"}


def test_more_images_than_batch_size(detector: DetectEngine) -> None:
    images = [UPRIGHT, ROTATED, WIDE, UPRIGHT, WIDE]
    call = request(*images)
    [in_pairs] = detect(detector("rt_detr", batch_size=2), call)
    [all_at_once] = detect(detector("rt_detr"), request(*images))
    assert all(close(item, rows(other)) for item, other in zip(in_pairs, all_at_once, strict=True))
    assert (call.done, call.total) == (5, 5)


# Prompts and thresholds -------------------------------------------------------------------------------------------


def test_list_and_text_prompts_are_equal_and_share_a_batch(detector: DetectEngine) -> None:
    engine = detector("grounding_dino")
    calls = request(UPRIGHT, prompt=LABELS), request(UPRIGHT, prompt="Cat. Remote control.")
    [[listed], [text]] = detect(engine, *calls)
    assert [detection.label.lower() for detection in text.detections] == [
        detection.label for detection in listed.detections
    ]
    assert [detection.score for detection in text.detections] == pytest.approx(
        [detection.score for detection in listed.detections], abs=1e-5
    )
    group = engine.served()["detect"].group
    assert group
    assert group(calls[0].request) == group(request(UPRIGHT, prompt="cat. remote control.").request)


def test_label_may_contain_a_full_stop(detector: DetectEngine) -> None:
    [[item]] = detect(detector("grounding_dino"), request(UPRIGHT, prompt=["Dr. Cat", "remote"]))
    assert {detection.label for detection in item.detections} >= {"Dr. Cat"}


@pytest.mark.parametrize("family", ["grounding_dino", "owlvit", "detr"])
def test_thresholds_and_max_detections_filter_candidates(family: str, detector: DetectEngine) -> None:
    engine, fields = detector(family), prompt_fields(family)
    # One request at a time: scores that are nearly equal change places in a batch of another size.
    [[unfiltered]] = detect(engine, request(UPRIGHT, **fields))
    scores = [detection.score for detection in unfiltered.detections]
    median = sum(scores[len(scores) // 2 - 1 :][:2]) / 2  # between two scores: neither may round to it
    [[above_median]] = detect(engine, request(UPRIGHT, box_threshold=median, **fields))
    [[best_two]] = detect(engine, request(UPRIGHT, max_detections=2, **fields))
    assert scores == sorted(scores, reverse=True)
    assert close(above_median, [row for row in rows(unfiltered) if row[1] > median])
    assert close(best_two, rows(unfiltered)[:2])


@pytest.mark.parametrize(("family", "threshold"), [("grounding_dino", 0.4), ("owlvit", 0.1), ("detr", 0.5)])
def test_default_thresholds_are_the_familys(family: str, threshold: float, detector: DetectEngine) -> None:
    engine, fields = detector(family), prompt_fields(family)
    [[by_default]] = detect(engine, request(UPRIGHT, **{"box_threshold": None, **fields}))
    [[explicit]] = detect(engine, request(UPRIGHT, **{"box_threshold": threshold, **fields}))
    assert close(by_default, rows(explicit))


def test_text_threshold_drops_boxes_without_a_likely_word(detector: DetectEngine) -> None:
    engine = detector("grounding_dino")
    [[unfiltered]] = detect(engine, request(UPRIGHT, prompt="cat", text_threshold=0))
    [[likely]] = detect(engine, request(UPRIGHT, prompt="cat", text_threshold=0.6))
    assert 0 < len(likely.detections) < len(unfiltered.detections)


@pytest.mark.parametrize("family", ["grounding_dino", "owlv2", "deformable_detr"])
def test_boxes_are_clipped_to_the_image(family: str, detector: DetectEngine) -> None:
    [[item]] = detect(detector(family), request(UPRIGHT, **prompt_fields(family)))
    assert all(0 <= x0 <= x1 <= 80 and 0 <= y0 <= y1 <= 60 for _, _, (x0, y0, x1, y1) in rows(item))


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_reads_unusual_images_as_displayed(detector: DetectEngine, odd: OddImage) -> None:
    call = request(images=[odd.uri, odd.plain_uri], prompt="cat")
    [[item, plain]] = detect(detector("grounding_dino"), call)
    assert (item.width, item.height) == odd.size
    assert close(item, rows(plain))
