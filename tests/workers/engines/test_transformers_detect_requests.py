"""What can be asked of detection: forms of labels, and an error for everything that is not possible."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from contract.config import ModelSpec
from contract.errors import BadImage, ContextTooLong, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.detect import DetectRequest
from scripts.testbed.models.detect import CLASSES
from tests.conftest import Models
from tests.support.detect_engines import OPEN_SET, UPRIGHT, DetectEngine, detect, prompt_fields, request
from tests.support.odd_images import uri
from workers.engine import Call, Device
from workers.registry import find_engine


@pytest.mark.parametrize(
    ("prompt", "labels"),
    [
        ("cat", ["cat"]),
        (" a cat. ", ["a cat"]),
        ("a cat. a remote control.", ["a cat", "a remote control"]),
        ("cat . remote control", ["cat", "remote control"]),
        ("a 2.5 litre bottle", ["a 2.5 litre bottle"]),
        (["a cat", "Dr. Pepper"], ["a cat", "Dr. Pepper"]),
    ],
)
def test_labels_are_one_text_or_a_list(prompt: str | list[str], labels: list[str]) -> None:
    call = request(UPRIGHT, prompt=prompt)
    assert call.request.labels == labels


def refusal(detector: DetectEngine, family: str, call: Call[DetectRequest]) -> ServeError:
    """The error of a call that is batched with a valid one, which succeeds."""
    valid_call = request(UPRIGHT, **prompt_fields(family))
    answers = dict(detector(family).detect([call, valid_call]))
    assert not isinstance(answers[valid_call], ServeError)
    error = answers[call]
    assert isinstance(error, ServeError)
    return error


@pytest.mark.parametrize("family", OPEN_SET)
def test_missing_prompt_error_says_what_to_send(family: str, detector: DetectEngine) -> None:
    error = refusal(detector, family, request(UPRIGHT))
    assert isinstance(error, InvalidField)
    assert error.param == "prompt"
    assert '["cat", "remote control"]' in error.message


@pytest.mark.parametrize("fields", [{"prompt": "cat"}, {"text_threshold": 0.2}], ids=["prompt", "text_threshold"])
def test_closed_set_models_reject_prompts(detector: DetectEngine, fields: dict[str, Any]) -> None:
    error = refusal(detector, "detr", request(UPRIGHT, **fields))
    assert isinstance(error, UnsupportedFeature)
    assert error.param == next(iter(fields))
    assert ", ".join(CLASSES) in error.message
    assert detector("detr").loaded_features() == frozenset()


def test_owl_rejects_text_threshold(detector: DetectEngine) -> None:
    error = refusal(detector, "owlvit", request(UPRIGHT, prompt="cat", text_threshold=0.2))
    assert isinstance(error, UnsupportedFeature)
    assert error.param == "text_threshold"
    assert detector("owlvit").loaded_features() == {"prompt"}


def test_prompt_too_long_error_counts_tokens(detector: DetectEngine) -> None:
    error = refusal(detector, "grounding_dino", request(UPRIGHT, prompt=["cat " * 5] * 43))
    assert isinstance(error, ContextTooLong)
    assert error.details == {"tokens": 260, "limit": 256}


def test_owl_names_a_label_that_is_too_long(detector: DetectEngine) -> None:
    error = refusal(detector, "owlv2", request(UPRIGHT, prompt=["cat", "a very very long label"]))
    assert isinstance(error, ContextTooLong)
    assert error.message.startswith("The label 'a very very long label' has 20 tokens")
    assert len(refusal(detector, "owlv2", request(UPRIGHT, prompt="long " * 1000)).message) < 300


@pytest.mark.parametrize("size", [(2560, 20), (1200, 900)])
def test_owl_downscales_large_images(detector: DetectEngine, size: tuple[int, int]) -> None:
    large = UPRIGHT.resize(size, Image.Resampling.NEAREST)
    small = large.resize((256, round(size[1] * 256 / size[0])), Image.Resampling.BOX)
    [[of_large], [of_small]] = detect(detector("owlv2"), request(large, prompt="cat"), request(small, prompt="cat"))
    scale = max(large.size) / max(small.size)
    for detection, expected in zip(of_large.detections, of_small.detections, strict=True):
        assert detection.score == pytest.approx(expected.score, abs=1e-5)
        assert detection.box == pytest.approx([side * scale for side in expected.box], abs=scale)


def test_rejects_a_label_without_tokens(detector: DetectEngine) -> None:
    error = refusal(detector, "grounding_dino", request(UPRIGHT, prompt=["cat", "\u200b"]))
    assert isinstance(error, InvalidField)
    assert error.param == "prompt"


@pytest.mark.parametrize("prompt", ["", " . ", [], [""], ["cat", "."], ["cat", 7], {"cat": 1}, ["x"] * 101])
def test_rejects_invalid_labels(prompt: Any) -> None:
    with pytest.raises(ValidationError, match="label"):
        DetectRequest(image=uri(UPRIGHT), prompt=prompt)


def test_broken_image_fails_alone(detector: DetectEngine) -> None:
    error = refusal(detector, "detr", Call(DetectRequest(images=[uri(UPRIGHT), "data:image/png;base64,abcd"])))
    assert isinstance(error, BadImage)


def test_cancelled_calls_get_no_answer(detector: DetectEngine) -> None:
    engine, cancelled, waiting = detector("detr"), request(UPRIGHT), request(UPRIGHT)
    cancelled.cancel()
    assert [call for call, _ in engine.detect([cancelled, waiting])] == [waiting]


def test_rejects_other_models_and_names_their_engine(models: Models) -> None:
    spec = ModelSpec(id="m", engine="transformers_detect", source=str(models("trocr")))
    with pytest.raises(LoadFailed, match="transformers_ocr"):
        find_engine("transformers_detect")().load(spec, Device("cpu", "float32"))
