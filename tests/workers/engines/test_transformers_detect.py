"""Detection: each family's boxes are the library's own, and its labels are the client's."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from scripts.testbed.models.detect import QUERIES
from tests.conftest import Models
from tests.support.detect_engines import (
    BY_TEXT,
    GROUNDING,
    LABELS,
    OF_CLASSES,
    OWL,
    TURNED,
    UPRIGHT,
    WIDE,
    Detector,
    Row,
    ask,
    close,
    detect,
    prompted,
    rows,
)
from tests.support.odd_images import ODD_IMAGES, OddImage

# Equal to the library ---------------------------------------------------------------------------------------------


def by_the_library(folder: str, images: list[Image.Image], family: str) -> Any:
    """What transformers itself finds, with the text that names it, boxes cut to the picture and best first."""
    import torch
    from transformers import (
        AutoImageProcessor,
        AutoModelForObjectDetection,
        AutoModelForZeroShotObjectDetection,
        AutoProcessor,
    )

    by_text = family in BY_TEXT
    processor = (AutoProcessor if by_text else AutoImageProcessor).from_pretrained(folder)
    model = (AutoModelForZeroShotObjectDetection if by_text else AutoModelForObjectDetection).from_pretrained(folder)
    sizes = [(image.height, image.width) for image in images]
    with torch.inference_mode():
        texts = {"text": [LABELS] * len(images)} if by_text else {}
        inputs = processor(images=images, return_tensors="pt", **texts)
        outputs = model.eval()(**inputs)
    if family in GROUNDING:
        found = processor.post_process_grounded_object_detection(
            outputs, inputs.input_ids, threshold=0.0, text_threshold=0.0, target_sizes=sizes
        )
    elif family in OWL:
        found = processor.post_process_grounded_object_detection(
            outputs, threshold=0.0, target_sizes=sizes, text_labels=[LABELS] * len(images)
        )
    else:
        found = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
        for one in found:
            one["text_labels"] = [model.config.id2label[int(label)] for label in one["labels"]]
    return [_sorted(one, image) for one, image in zip(found, images, strict=True)]


def _sorted(found: Any, image: Image.Image) -> list[Row]:
    ends = (image.width, image.height) * 2
    boxes = [tuple(min(max(at, 0), end) for at, end in zip(box, ends, strict=True)) for box in found["boxes"].tolist()]
    rows = zip(found["text_labels"], found["scores"].tolist(), boxes, strict=True)
    return sorted(rows, key=lambda row: -row[1])


@pytest.mark.parametrize("family", [*BY_TEXT, *OF_CLASSES])
def test_boxes_match_transformers_alone_and_batched(family: str, detector: Detector, models: Models) -> None:
    engine, fields = detector(family), prompted(family) | ({"text_threshold": 0} if family in GROUNDING else {})
    expected = by_the_library(str(models(family)), [UPRIGHT, TURNED], family)

    [[alone]] = detect(engine, ask(UPRIGHT, **fields))
    [[one], [other, again]] = detect(engine, ask(UPRIGHT, **fields), ask(TURNED, UPRIGHT, **fields))

    assert len(expected[0]) >= QUERIES
    if family in GROUNDING:  # which names boxes by their words, see below
        expected = [
            [(row[0], *found[1:]) for row, found in zip(rows(item), of_one, strict=True)]
            for item, of_one in zip([alone, other], expected, strict=True)
        ]
    assert all(close(item, expected[0]) for item in (alone, one, again))
    assert close(other, expected[1])
    assert not close(one, expected[1])  # it follows from the picture


@pytest.mark.parametrize("family", GROUNDING)
def test_box_gets_the_label_of_its_best_word(family: str, detector: Detector, models: Models) -> None:
    import torch
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    [[item]] = detect(detector(family), ask(UPRIGHT, prompt=["Cat", "Remote control"], text_threshold=0))
    processor = AutoProcessor.from_pretrained(models(family))
    inputs = processor(images=UPRIGHT, text="cat. remote control.", return_tensors="pt")
    words = processor.tokenizer.convert_ids_to_tokens(inputs.input_ids[0])
    with torch.inference_mode():
        logits = AutoModelForZeroShotObjectDetection.from_pretrained(models(family)).eval()(**inputs).logits[0]

    assert words == ["[CLS]", "cat", ".", "remote", "control", ".", "[SEP]"]
    best = sorted(zip(logits.amax(-1).tolist(), logits[:, [1, 3, 4]].argmax(-1).tolist(), strict=True), reverse=True)
    assert [one.label for one in item.detections] == [["Cat", "Remote control"][word > 0] for _, word in best]
    assert {one.label for one in item.detections} == {"Cat", "Remote control"}


@pytest.mark.parametrize("family", ["grounding_dino", "detr", "rt_detr", "owlv2"])
def test_images_of_other_sizes_in_the_call_change_nothing(family: str, detector: Detector) -> None:
    engine, fields = detector(family), prompted(family)
    alone = [detect(engine, ask(image, **fields))[0][0] for image in (UPRIGHT, WIDE)]
    [together] = detect(engine, ask(UPRIGHT, WIDE, **fields))
    assert all(close(item, rows(single)) for item, single in zip(together, alone, strict=True))
    assert [(item.index, item.width, item.height) for item in together] == [(0, 80, 60), (1, 120, 50)]


@pytest.mark.parametrize("family", BY_TEXT)
def test_detections_depend_on_the_prompt(family: str, detector: Detector) -> None:
    calls = ask(UPRIGHT, prompt="cat"), ask(UPRIGHT, prompt="a remote control")
    [cat], [control] = detect(detector(family), *calls)
    assert [one.score for one in cat.detections] != [one.score for one in control.detections]
    assert {one.label for one in cat.detections} == {"cat"}
    assert {one.label for one in control.detections} == {"a remote control"}


def test_more_images_than_batch_size(detector: Detector) -> None:
    images = [UPRIGHT, TURNED, WIDE, UPRIGHT, WIDE]
    call = ask(*images)
    [few] = detect(detector("rt_detr", batch_size=2), call)
    [all_at_once] = detect(detector("rt_detr"), ask(*images))
    assert all(close(one, rows(other)) for one, other in zip(few, all_at_once, strict=True))
    assert (call.done, call.total) == (5, 5)


# What is asked, and what comes back -------------------------------------------------------------------------------


def test_list_and_text_prompts_are_equal_and_share_a_batch(detector: Detector) -> None:
    engine = detector("grounding_dino")
    calls = ask(UPRIGHT, prompt=LABELS), ask(UPRIGHT, prompt="Cat. Remote control.")
    [[listed], [text]] = detect(engine, *calls)
    assert [one.label.lower() for one in text.detections] == [one.label for one in listed.detections]
    assert [one.score for one in text.detections] == pytest.approx([one.score for one in listed.detections], abs=1e-5)
    group = engine.served()["detect"].group
    assert group
    assert group(calls[0].request) == group(ask(UPRIGHT, prompt="cat. remote control.").request)


def test_label_may_contain_a_full_stop(detector: Detector) -> None:
    [[item]] = detect(detector("grounding_dino"), ask(UPRIGHT, prompt=["Dr. Cat", "remote"]))
    assert {one.label for one in item.detections} >= {"Dr. Cat"}


@pytest.mark.parametrize("family", ["grounding_dino", "owlvit", "detr"])
def test_thresholds_and_max_detections_filter_candidates(family: str, detector: Detector) -> None:
    engine, fields = detector(family), prompted(family)
    [[everything]] = detect(engine, ask(UPRIGHT, **fields))
    scores = [one.score for one in everything.detections]
    middle = scores[len(scores) // 2]
    [[likely], [two]] = detect(
        engine, ask(UPRIGHT, box_threshold=middle, **fields), ask(UPRIGHT, max_detections=2, **fields)
    )
    assert scores == sorted(scores, reverse=True)
    assert close(likely, [row for row in rows(everything) if row[1] > middle])
    assert close(two, rows(everything)[:2])


@pytest.mark.parametrize(("family", "least"), [("grounding_dino", 0.4), ("owlvit", 0.1), ("detr", 0.5)])
def test_default_thresholds_are_the_familys(family: str, least: float, detector: Detector) -> None:
    engine, fields = detector(family), prompted(family)
    [[silent], [spoken]] = detect(
        engine, ask(UPRIGHT, **{"box_threshold": None, **fields}), ask(UPRIGHT, **{"box_threshold": least, **fields})
    )
    assert close(silent, rows(spoken))


def test_text_threshold_drops_boxes_without_a_likely_word(detector: Detector) -> None:
    engine = detector("grounding_dino")
    [[everything]] = detect(engine, ask(UPRIGHT, prompt="cat", text_threshold=0))
    [[sure]] = detect(engine, ask(UPRIGHT, prompt="cat", text_threshold=0.6))
    assert 0 < len(sure.detections) < len(everything.detections)


@pytest.mark.parametrize("family", ["grounding_dino", "owlv2", "deformable_detr"])
def test_boxes_are_clipped_to_the_image(family: str, detector: Detector) -> None:
    [[item]] = detect(detector(family), ask(UPRIGHT, **prompted(family)))
    assert all(0 <= x0 <= x1 <= 80 and 0 <= y0 <= y1 <= 60 for _, _, (x0, y0, x1, y1) in rows(item))


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_reads_unusual_images_as_displayed(detector: Detector, odd: OddImage) -> None:
    call = ask(images=[odd.uri, odd.plain_uri], prompt="cat")
    [[item, plain]] = detect(detector("grounding_dino"), call)
    assert (item.width, item.height) == odd.size
    assert close(item, rows(plain))
