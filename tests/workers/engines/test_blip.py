"""BLIP's captions are those of transformers itself, alone and in a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract.config import ModelSpec
from contract.errors import BadImage, ContextTooLong, LoadFailed
from contract.media import ImageInput
from contract.tasks.caption import CaptionRequest, CaptionResponse
from scripts.testbed.models.caption import WINDOW
from tests.support.odd_images import ODD_IMAGES, OddImage, drawing, encoded
from workers.engine import Call, Device, Engine
from workers.registry import find_engine
from workers.toolkit.image_loading import open_image

Models = Callable[[str], Path]
UPRIGHT, TURNED, RED = drawing(), drawing().rotate(180), Image.new("RGB", (40, 90), "red")
PICTURES = [UPRIGHT, TURNED, RED]
TOKENS = 12


def load(folder: Path, **options: Any) -> Engine:
    engine = find_engine("blip")()
    options = {"threads": 1, **options}
    engine.load(ModelSpec(id="captions", engine="blip", source=str(folder), options=options), Device("cpu", "float32"))
    return engine


@pytest.fixture(scope="module")
def engine(models: Models) -> Engine:
    return load(models("blip"), batch_size=3)


@pytest.fixture(scope="module")
def library(models: Models) -> Callable[..., str]:
    """What transformers says of a picture, with nothing of ours in between."""
    from transformers import AutoProcessor, BlipForConditionalGeneration

    model = BlipForConditionalGeneration.from_pretrained(models("blip"))
    processor = AutoProcessor.from_pretrained(models("blip"))

    def caption(image: Any, prompt: str | None = None, tokens: int = TOKENS) -> str:
        inputs = processor(images=image, text=prompt, return_tensors="pt")
        return str(processor.decode(model.generate(**inputs, max_new_tokens=tokens)[0], skip_special_tokens=True))

    return caption


def request(*images: Any, **fields: Any) -> CaptionRequest:
    images_sent = [ImageInput(encoded(image)) for image in images]
    return CaptionRequest.model_validate({"images": images_sent, "max_tokens": TOKENS, **fields})


def ask(engine: Any, *requests: CaptionRequest) -> list[Any]:
    """The answers to requests that share a batch."""
    calls = [Call(item) for item in requests]
    answers = {id(call): answer for call, answer in engine.caption(calls)}
    return [answers[id(call)] for call in calls]


def texts(answer: Any) -> list[str]:
    assert isinstance(answer, CaptionResponse), answer
    return [item.text for item in answer.data]


@pytest.mark.parametrize("prompt", [None, "a picture of"])
def test_captions_match_transformers_alone_and_batched(
    engine: Engine, library: Callable[..., str], prompt: str | None
) -> None:
    expected = [library(image, prompt) for image in PICTURES]
    assert len(set(expected)) == 3
    assert [texts(ask(engine, request(image, prompt=prompt))[0]) for image in PICTURES] == [[text] for text in expected]
    first, second = ask(engine, request(UPRIGHT, TURNED, prompt=prompt), request(RED, UPRIGHT, prompt=prompt))
    assert (texts(first), texts(second)) == (expected[:2], [expected[2], expected[0]])


def test_caption_starts_with_the_prompt(engine: Engine) -> None:
    plain, one, other = ask(engine, request(RED), request(RED, prompt="A Picture of"), request(RED, prompt="the dog"))
    assert texts(one)[0].startswith("a picture of")  # BLIP knows no capitals
    assert texts(other)[0].startswith("the dog")
    assert not texts(plain)[0].startswith(("a picture of", "the dog"))


def test_items_have_index_and_size_of_their_image(engine: Engine) -> None:
    [answer] = ask(engine, request(UPRIGHT, RED))
    assert (answer.model, answer.usage.images) == ("captions", 2)
    assert [(item.index, item.width, item.height) for item in answer.data] == [(0, 80, 60), (1, 40, 90)]


def test_max_tokens_limits_a_caption(engine: Engine, library: Callable[..., str]) -> None:
    assert texts(ask(engine, request(RED, max_tokens=3))[0]) == [library(RED, tokens=3)]
    [long] = ask(engine, request(RED, max_tokens=10**6))  # more than it can: as long as it can
    assert texts(long) == [library(RED, tokens=WINDOW - 1)]


def test_rejects_a_prompt_that_fills_the_context(engine: Engine) -> None:
    fits, too_long, fine = ask(
        engine, request(RED, prompt="a " * (WINDOW - 2)), request(RED, prompt="a " * WINDOW), request(RED)
    )
    assert texts(fits)[0].startswith("a a a")
    assert isinstance(too_long, ContextTooLong)
    assert (too_long.param, too_long.details["context"]) == ("prompt", WINDOW)
    assert texts(fine)


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_reads_unusual_images_as_displayed(engine: Engine, odd: OddImage, library: Any) -> None:
    [answer] = ask(engine, CaptionRequest.model_validate({"image": odd.uri, "max_tokens": TOKENS}))
    [item] = answer.data
    assert (item.width, item.height) == odd.size
    assert item.text == library(open_image(ImageInput(odd.plain_uri)))


def test_broken_image_fails_alone(engine: Engine) -> None:
    broken = CaptionRequest(images=[ImageInput(encoded(RED)), ImageInput(encoded(UPRIGHT)[:-200])])
    bad, good = ask(engine, broken, request(RED))
    assert isinstance(bad, BadImage)
    assert len(texts(good)) == 1


def test_cancelling_stops_generation(engine: Any) -> None:
    leaving, staying = Call(request(RED, max_tokens=30)), Call(request(UPRIGHT, max_tokens=30))
    steps: list[int] = []

    def count(*_: Any) -> None:
        steps.append(1)
        if len(steps) == 2:
            leaving.cancel()
        if len(steps) == 4:
            staying.cancel()

    hook = engine._model.text_decoder.register_forward_pre_hook(count)
    assert list(engine.caption([leaving, staying])) == []
    hook.remove()
    assert len(steps) == 4, "nobody waits for the other 26 tokens"


@pytest.mark.parametrize(
    ("family", "says"),
    [
        ("blip_vqa", "BlipForQuestionAnswering, which writes no captions"),
        ("smolvlm", "'smolvlm', which"),
    ],
)
def test_rejects_models_that_do_not_caption(models: Models, family: str, says: str) -> None:
    with pytest.raises(LoadFailed, match=says):
        load(models(family))


def test_rejects_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"no config\.json"):
        load(tmp_path)
