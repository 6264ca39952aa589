"""Moondream's answers, captions, boxes and points match those of its own code."""

from __future__ import annotations

from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import BadImage, BadRequest, ContextTooLong, InvalidField, UnsupportedFeature
from contract.image_loading import open_image
from contract.media import ImageInput
from contract.tasks.caption import CaptionRequest, CaptionResponse
from contract.tasks.chat import ChatRequest
from contract.tasks.detect import DetectRequest
from scripts.testbed.models.moondream import moondream
from tests.conftest import Models
from tests.support.chat_engines import Piece, drawn_image, image_part, text, whole
from tests.support.moondream_engines import load
from tests.support.odd_images import ODD_IMAGES, OddImage, drawing, encoded
from workers.engine import Call, Engine
from workers.served_tasks import tasks_of_loaded

RED, BLUE = drawn_image("red", (80, 60)), drawn_image("blue", (60, 80))
GREEDY = {"temperature": 0, "max_tokens": 12}


pytestmark = pytest.mark.usefixtures("model_code")


@pytest.fixture(scope="module")
def engine(models: Models, model_code: None) -> Engine:
    return load(models("moondream"))


@pytest.fixture(scope="module")
def reference(models: Models) -> Any:
    """The same model, called directly."""
    return moondream()


def chat_request(question: str = "", image: Any = None, **fields: Any) -> ChatRequest:
    content = [*([image_part(image)] if image else []), {"type": "text", "text": question}]
    return ChatRequest.model_validate({"messages": [{"role": "user", "content": content}], **GREEDY, **fields})


def run(engine: Any, request: ChatRequest) -> list[Piece]:
    return [piece for _, piece in engine.chat([Call(request)])]


def answer_text(engine: Any, request: ChatRequest, index: int = 0) -> str:
    return text(whole(run(engine, request)), index)


def ask(method: Any, *requests: Any) -> list[Any]:
    calls = [Call(request) for request in requests]
    answers = {id(call): answer for call, answer in method(calls)}
    return [answers[id(call)] for call in calls]


def image_inputs(*images: Any) -> list[ImageInput]:
    return [ImageInput(encoded(image)) for image in images]


def test_one_entry_serves_every_task(engine: Engine) -> None:
    spec = ModelSpec(id="moon", engine="moondream", source="x")
    assert tasks_of_loaded(spec, engine) == ("analyze", "caption", "chat", "detect", "ocr")


# Chat ---------------------------------------------------------------------------------------------------------------


def test_chat_answers_match_the_models_own_code(engine: Engine, reference: Any) -> None:
    questions = [("What is it?", RED), ("What is it?", BLUE), ("Where is it?", RED), ("What is it?", None)]
    answers = [answer_text(engine, chat_request(question, image)) for question, image in questions]
    expected = []
    for question, image in questions:
        encoded_image = reference.encode_image(image) if image else None
        expected.append(reference.query(encoded_image, question, settings=GREEDY)["answer"])
    assert answers == expected
    assert len(set(answers)) == 4


def test_chat_streams_pieces_and_reports_usage(engine: Engine, reference: Any) -> None:
    pieces = run(engine, chat_request("What?", RED))
    assert len(pieces) == 16  # role, 12 tokens, end, usage, None
    answer = whole(pieces)
    assert answer.choices[0].finish_reason == "length"
    assert whole(run(engine, chat_request("Who?", RED, max_tokens=60))).choices[0].finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (9 + 5, 12)


def test_chat_stops_at_stop_sequences(engine: Engine) -> None:
    full = answer_text(engine, chat_request("What is it?", RED))
    answer = whole(run(engine, chat_request("What is it?", RED, stop=full[5:7])))
    assert text(answer) == full[: full.index(full[5:7])]
    assert answer.choices[0].finish_reason == "stop"


def test_seed_makes_sampling_repeatable(engine: Engine) -> None:
    sampled = chat_request("What?", RED, temperature=2, top_p=1, seed=7, n=2)
    first, second = (answer_text(engine, sampled, index) for index in (0, 1))
    assert first != second
    assert answer_text(engine, sampled) == first
    assert answer_text(engine, sampled.model_copy(update={"seed": 8})) == second


def test_default_temperature_is_the_models_own(engine: Engine, reference: Any) -> None:
    import torch

    answer = answer_text(engine, chat_request("What?", RED, temperature=None, seed=3))
    encoded_image = reference.encode_image(RED)
    torch.manual_seed(3)
    assert answer == reference.query(encoded_image, "What?", settings={"max_tokens": 12})["answer"]


def test_sees_newest_image_and_reads_earlier_turns_as_text(engine: Engine, reference: Any) -> None:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [image_part(BLUE), {"type": "text", "text": "Look."}]},
        {"role": "assistant", "content": "I see."},
        {"role": "user", "content": [image_part(RED), {"type": "text", "text": "And this?"}]},
        {"role": "assistant", "content": "Red."},
        {"role": "user", "content": "Sure?"},
    ]
    transcript = (
        "Be brief.\n\nQuestion: (another image) Look.\nAnswer: I see.\nQuestion: And this?\nAnswer: Red.\n"
        "Question: Sure?"
    )
    encoded_image = reference.encode_image(RED)
    answer = answer_text(engine, chat_request(messages=turns))
    assert answer == reference.query(encoded_image, transcript, settings=GREEDY)["answer"]
    alone = answer_text(engine, chat_request(messages=[turns[0], turns[3]]))
    assert alone == reference.query(encoded_image, "Be brief.\n\nAnd this?", settings=GREEDY)["answer"]


@pytest.mark.parametrize(
    ("messages", "error_type", "message"),
    [
        (
            [{"role": "user", "content": [image_part(RED), image_part(BLUE), {"type": "text", "text": "?"}]}],
            BadRequest,
            "2 images",
        ),
        ([{"role": "user", "content": [image_part(RED)]}], BadRequest, "with a question"),
        (
            [{"role": "user", "content": "Hm?"}, {"role": "assistant", "content": "I"}],
            BadRequest,
            "must be a user message",
        ),
        ([{"role": "user", "content": [{"type": "file"}, {"type": "text", "text": "?"}]}], UnsupportedFeature, "file"),
        ([{"role": "user", "content": "far " * 100}], ContextTooLong, "context of 160"),
    ],
)
def test_rejects_conversations_that_it_cannot_answer(
    engine: Engine, messages: list[Any], error_type: type[Exception], message: str
) -> None:
    with pytest.raises(error_type, match=message):
        answer_text(engine, chat_request(messages=messages))


def test_answer_ends_with_the_context(engine: Engine) -> None:
    answer = whole(run(engine, chat_request("far " * 20, RED, max_tokens=1000)))
    assert answer.usage
    assert answer.usage.completion_tokens == 160 - 8 - answer.usage.prompt_tokens


# Captions -----------------------------------------------------------------------------------------------------------


def texts(answer: Any) -> list[str]:
    assert isinstance(answer, CaptionResponse), answer
    return [item.text for item in answer.data]


@pytest.mark.parametrize("length", [None, "short", "long"])
def test_captions_match_the_models_own_code(engine: Any, reference: Any, length: str | None) -> None:
    request = CaptionRequest.model_validate({"images": image_inputs(RED, BLUE), "length": length, "max_tokens": 12})
    captions = texts(ask(engine.caption, request)[0])
    settings = {"temperature": 0, "max_tokens": 12}
    encoded_images = [reference.encode_image(image) for image in (RED, BLUE)]
    assert captions == [
        reference.caption(image, length or "normal", settings=settings)["caption"].strip() for image in encoded_images
    ]
    assert captions[0] != captions[1]


def test_caption_prompt_is_a_question(engine: Any, reference: Any) -> None:
    [answer] = ask(engine.caption, CaptionRequest(images=image_inputs(RED), prompt="Which colour?", max_tokens=7))
    encoded_image = reference.encode_image(RED)
    assert texts(answer) == [
        reference.query(encoded_image, "Which colour?", settings={**GREEDY, "max_tokens": 7})["answer"].strip()
    ]


def test_invalid_caption_requests_fail_alone(engine: Any) -> None:
    both = CaptionRequest(images=image_inputs(RED), prompt="Which?", length="short")
    broken = CaptionRequest(images=[ImageInput(encoded(drawing())[:-200])])
    long = CaptionRequest(images=image_inputs(RED), prompt="far " * 100)
    answers = ask(engine.caption, both, broken, long, CaptionRequest(images=image_inputs(RED), max_tokens=12))
    assert [type(answer) for answer in answers] == [InvalidField, BadImage, ContextTooLong, CaptionResponse]
    assert CaptionRequest(images=image_inputs(RED), length="short").required_features() == {"length"} <= engine.features


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_reads_unusual_images_as_displayed(engine: Any, odd: OddImage, reference: Any) -> None:
    [answer] = ask(engine.caption, CaptionRequest.model_validate({"image": odd.uri, "max_tokens": 12}))
    [item] = answer.data
    encoded_image = reference.encode_image(open_image(ImageInput(odd.plain_uri)))
    assert (item.width, item.height) == odd.size
    assert item.text == reference.caption(encoded_image, settings=GREEDY)["caption"].strip()


# Boxes and points ---------------------------------------------------------------------------------------------------


def test_boxes_match_the_models_own_code_in_pixels(engine: Any, reference: Any) -> None:
    [answer] = ask(
        engine.detect, DetectRequest.model_validate({"images": image_inputs(RED, BLUE), "prompt": ["cat", "a dog"]})
    )
    for item, image in zip(answer.data, (RED, BLUE), strict=True):
        encoded_image, expected = reference.encode_image(image), []
        for label in ("cat", "a dog"):
            for box in reference.detect(encoded_image, label)["objects"]:
                x = [min(max(box[side], 0), 1) * image.width for side in ("x_min", "x_max")]
                y = [min(max(box[side], 0), 1) * image.height for side in ("y_min", "y_max")]
                expected.append((label, 1.0, (x[0], y[0], x[1], y[1])))
        assert [(detection.label, detection.score, detection.box) for detection in item.detections] == expected
        assert item.points is None
        assert any(0 in detection.box or image.width in detection.box for detection in item.detections), (
            "some are clipped"
        )
    assert answer.data[0].detections != answer.data[1].detections


def test_points_match_the_models_own_code_in_pixels(engine: Any, reference: Any) -> None:
    [answer] = ask(engine.detect, DetectRequest(images=image_inputs(RED), prompt="cat", points=True))
    encoded_image = reference.encode_image(RED)
    expected = [(point["x"] * 80, point["y"] * 60) for point in reference.point(encoded_image, "cat")["points"]]
    [item] = answer.data
    assert ([point.point for point in item.points], item.detections) == (expected, [])
    assert {point.label for point in item.points} == {"cat"}


@pytest.mark.parametrize("points", [False, True])
def test_max_detections_limits_boxes_and_points(engine: Any, points: bool) -> None:
    [answer] = ask(
        engine.detect, DetectRequest(images=image_inputs(RED), prompt=["ab", "cd"], max_detections=3, points=points)
    )
    [item] = answer.data
    assert len(item.points if points else item.detections) == 3


def test_missing_prompt_error_says_what_to_send(engine: Any) -> None:
    [answer] = ask(engine.detect, DetectRequest(images=image_inputs(RED)))
    assert isinstance(answer, InvalidField)
    assert answer.param == "prompt"


def test_rejects_a_label_longer_than_the_context(engine: Any) -> None:
    [answer] = ask(engine.detect, DetectRequest(images=image_inputs(RED), prompt=["cat", "far " * 100]))
    assert isinstance(answer, ContextTooLong)
    assert answer.param == "prompt"


# Cancelling ---------------------------------------------------------------------------------------------------------


def test_cancelling_stops_between_labels(engine: Any) -> None:
    call = Call(DetectRequest(images=image_inputs(RED), prompt=["ab"] * 9))
    detections = []
    detect = engine._model.detect

    def detect_and_cancel(*arguments: Any) -> Any:
        detections.append(arguments)
        call.cancel()
        return detect(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine._model, "detect", detect_and_cancel)
        assert list(engine.detect([call])) == []
    assert len(detections) == 1
