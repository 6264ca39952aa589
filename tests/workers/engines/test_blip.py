"""BLIP's captions match those of transformers, alone and in a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract.config import ModelSpec
from contract.errors import BadImage, ContextTooLong, LoadFailed
from contract.image_loading import open_image
from contract.media import ImageInput
from contract.tasks.caption import CaptionRequest, CaptionResponse
from scripts.testbed.models.caption import CONTEXT
from tests.conftest import Models
from tests.support.odd_images import ODD_IMAGES, OddImage, drawing, encoded
from workers.engine import Call, Device, Engine
from workers.registry import find_engine

UPRIGHT, ROTATED, RED = drawing(), drawing().rotate(180), Image.new("RGB", (40, 90), "red")
IMAGES = [UPRIGHT, ROTATED, RED]
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
def reference(models: Models) -> Callable[..., str]:
    """Captions an image with transformers directly."""
    from transformers import AutoProcessor, BlipForConditionalGeneration

    model = BlipForConditionalGeneration.from_pretrained(models("blip"))
    processor = AutoProcessor.from_pretrained(models("blip"))

    def caption(image: Any, prompt: str | None = None, tokens: int = TOKENS) -> str:
        inputs = processor(images=image, text=prompt, return_tensors="pt")
        return str(processor.decode(model.generate(**inputs, max_new_tokens=tokens)[0], skip_special_tokens=True))

    return caption


def request(*images: Any, **fields: Any) -> CaptionRequest:
    inputs = [ImageInput(encoded(image)) for image in images]
    return CaptionRequest.model_validate({"images": inputs, "max_tokens": TOKENS, **fields})


def ask(engine: Any, *requests: CaptionRequest) -> list[Any]:
    """The answers to requests, all answered together."""
    calls = [Call(request) for request in requests]
    answers = {id(call): answer for call, answer in engine.caption(calls)}
    return [answers[id(call)] for call in calls]


def texts(answer: Any) -> list[str]:
    assert isinstance(answer, CaptionResponse), answer
    return [item.text for item in answer.data]


@pytest.mark.parametrize("prompt", [None, "a photo of"])
def test_captions_match_transformers_alone_and_batched(
    engine: Engine, reference: Callable[..., str], prompt: str | None
) -> None:
    expected = [reference(image, prompt) for image in IMAGES]
    assert len(set(expected)) == 3
    assert [texts(ask(engine, request(image, prompt=prompt))[0]) for image in IMAGES] == [[text] for text in expected]
    first, second = ask(engine, request(UPRIGHT, ROTATED, prompt=prompt), request(RED, UPRIGHT, prompt=prompt))
    assert (texts(first), texts(second)) == (expected[:2], [expected[2], expected[0]])


def test_caption_starts_with_the_prompt(engine: Engine) -> None:
    plain, captioned, other = ask(
        engine, request(RED), request(RED, prompt="A Photo of"), request(RED, prompt="the dog")
    )
    assert texts(captioned)[0].startswith("a photo of")  # BLIP's tokenizer lowercases
    assert texts(other)[0].startswith("the dog")
    assert not texts(plain)[0].startswith(("a photo of", "the dog"))


def test_items_have_index_and_size_of_their_image(engine: Engine) -> None:
    [answer] = ask(engine, request(UPRIGHT, RED))
    assert (answer.model, answer.usage.images) == ("captions", 2)
    assert [(item.index, item.width, item.height) for item in answer.data] == [(0, 80, 60), (1, 40, 90)]


def test_max_tokens_limits_a_caption(engine: Engine, reference: Callable[..., str]) -> None:
    assert texts(ask(engine, request(RED, max_tokens=3))[0]) == [reference(RED, tokens=3)]
    [longest] = ask(engine, request(RED, max_tokens=10**6))  # limited by the context
    assert texts(longest) == [reference(RED, tokens=CONTEXT - 1)]


def test_rejects_a_prompt_that_fills_the_context(engine: Engine) -> None:
    fitting, too_long, unprompted = ask(
        engine, request(RED, prompt="a " * (CONTEXT - 2)), request(RED, prompt="a " * CONTEXT), request(RED)
    )
    assert texts(fitting)[0].startswith("a a a")
    assert isinstance(too_long, ContextTooLong)
    assert (too_long.param, too_long.details["context"]) == ("prompt", CONTEXT)
    assert texts(unprompted)


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_reads_unusual_images_as_displayed(engine: Engine, odd: OddImage, reference: Any) -> None:
    [answer] = ask(engine, CaptionRequest.model_validate({"image": odd.uri, "max_tokens": TOKENS}))
    [item] = answer.data
    assert (item.width, item.height) == odd.size
    assert item.text == reference(open_image(ImageInput(odd.plain_uri)))


def test_broken_image_fails_alone(engine: Engine) -> None:
    broken = CaptionRequest(images=[ImageInput(encoded(RED)), ImageInput(encoded(UPRIGHT)[:-200])])
    error, answer = ask(engine, broken, request(RED))
    assert isinstance(error, BadImage)
    assert len(texts(answer)) == 1


def test_cancelling_stops_generation(engine: Any) -> None:
    first, second = Call(request(RED, max_tokens=30)), Call(request(UPRIGHT, max_tokens=30))
    steps: list[int] = []

    def count(*_: Any) -> None:
        steps.append(1)
        if len(steps) == 2:
            first.cancel()
        if len(steps) == 4:
            second.cancel()

    hook = engine._model.text_decoder.register_forward_pre_hook(count)
    assert list(engine.caption([first, second])) == []
    hook.remove()
    assert len(steps) == 4, "both calls are cancelled: the other 26 tokens are not needed"


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("blip_vqa", "BlipForQuestionAnswering, which writes no captions"),
        ("smolvlm", "'smolvlm', which"),
    ],
)
def test_rejects_models_that_do_not_caption(models: Models, family: str, message: str) -> None:
    with pytest.raises(LoadFailed, match=message):
        load(models(family))


def test_rejects_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"no config\.json"):
        load(tmp_path)
