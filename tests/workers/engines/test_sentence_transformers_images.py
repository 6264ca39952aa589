"""Embeddings of images: equal to the library's, mixed with texts, and refused by models for texts only."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from contract.config import ModelSpec
from contract.errors import BadImage, InvalidField, ServeError, UnsupportedFeature
from contract.media import images_in
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsRequest
from tests.conftest import Models
from tests.support.odd_images import ODD_IMAGES, OddImage, encoded, uri
from workers.engine import Call, Device, Engine
from workers.registry import find_engine

FAMILIES = ("clip", "siglip")


def image(color: str) -> Image.Image:
    image = Image.new("RGB", (60, 40), "white")
    ImageDraw.Draw(image).ellipse((10, 5, 50, 35), fill=color)
    return image


RED, BLUE = (uri(image(color)) for color in ("red", "blue"))


@pytest.fixture(scope="module")
def engine(models: Models) -> Callable[[str], Engine]:
    def load(family: str) -> Engine:
        loaded = find_engine("sentence_transformers")()
        spec = ModelSpec(id=family, engine="sentence_transformers", source=str(models(family)), options={"threads": 1})
        loaded.load(spec, Device("cpu", "float32"))
        return loaded

    return cache(load)


def embed(engine: Any, *bodies: dict[str, Any]) -> list[Any]:
    calls = [Call(EmbeddingsRequest.model_validate(body)) for body in bodies]
    answers = dict(engine.embed(calls))
    return [answers[call] for call in calls]


def vectors(answer: Any) -> Any:
    assert not isinstance(answer, ServeError), answer
    return np.array([item.embedding for item in answer.data], "float32")


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_and_images_in_one_list_equal_the_librarys(
    family: str, models: Models, engine: Callable[[str], Engine]
) -> None:
    ours = engine(family)  # first: it makes torchvision importable
    from sentence_transformers import SentenceTransformer

    library = SentenceTransformer(str(models(family)), device="cpu")
    if family == "siglip":  # the library pads to the longest text, unlike the model's training
        library[0].processing_kwargs = {"text": {"padding": "max_length"}}
    expected = np.stack([*library.encode([image("red")]), *library.encode(["a cat", "a dog"])])
    mixed = {"input": [{"text": "a cat"}, {"image": RED}, {"type": "text", "text": "a dog"}]}

    [alone] = embed(ours, mixed)
    assert np.abs(vectors(alone) - expected[[1, 0, 2]]).max() < 1e-5
    assert alone.usage.prompt_tokens > 0

    first, second = embed(ours, {"images": [RED, BLUE]}, mixed)
    assert np.abs(vectors(second) - vectors(alone)).max() < 1e-5
    assert np.abs(vectors(first)[0] - expected[0]).max() < 1e-5
    assert np.abs(vectors(first)[0] - vectors(first)[1]).max() > 1e-2


def test_siglip_pads_texts_as_it_was_trained(models: Models, engine: Callable[[str], Engine]) -> None:
    ours, texts = engine("siglip"), ["a", "a cat sat", "x " * 20]
    import torch
    from transformers import AutoModel, AutoProcessor

    model, processor = (loader.from_pretrained(models("siglip")) for loader in (AutoModel, AutoProcessor))
    with torch.inference_mode():
        inputs = processor(text=texts, padding="max_length", return_tensors="pt")
        expected = model.get_text_features(**inputs).pooler_output.numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)

    def normal(answer: Any) -> Any:
        return vectors(answer) / np.linalg.norm(vectors(answer), axis=1, keepdims=True)

    [together] = embed(ours, {"input": texts})
    assert np.abs(normal(together) - expected).max() < 1e-5
    for text, vector in zip(texts, expected, strict=True):
        [alone] = embed(ours, {"input": text})
        assert np.abs(normal(alone) - vector).max() < 1e-5


@pytest.mark.parametrize("body", [
    {"input": [{"type": "image_url", "image_url": {"url": RED}}]},
    {"input": [{"image": RED}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": RED}}]}]},
    {"image": RED},
    {"images": RED},
    {"image": [RED]},
], ids=lambda body: str(body)[:30])  # fmt: skip
def test_images_may_be_sent_in_several_forms(body: dict[str, Any], engine: Callable[[str], Engine]) -> None:
    [plain] = embed(engine("clip"), {"images": [RED]})
    [answer] = embed(engine("clip"), body)
    assert np.array_equal(vectors(answer), vectors(plain))
    assert len(list(images_in(EmbeddingsRequest.model_validate(body)))) == 1


def test_images_may_be_form_files() -> None:
    form = b'--b\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + encoded(image("red"))
    request = EMBEDDINGS.decode("multipart/form-data; boundary=b", form + b"\r\n--b--\r\n")
    assert len(request.inputs) == 1
    assert request.required_features() == {"images"}


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_odd_images_embed_as_their_plain_twins(odd: OddImage, engine: Callable[[str], Engine]) -> None:
    odd_answer, plain_answer = embed(engine("clip"), {"images": [odd.uri]}, {"images": [odd.plain_uri]})
    assert np.abs(vectors(odd_answer) - vectors(plain_answer)).max() < 1e-5


def test_broken_image_fails_only_its_request(engine: Callable[[str], Engine]) -> None:
    broken, good = embed(engine("clip"), {"input": ["a", {"image": "aGVsbG8="}]}, {"input": ["a", {"image": RED}]})
    assert isinstance(broken, BadImage)
    assert len(good.data) == 2


def test_text_model_refuses_images(engine: Callable[[str], Engine]) -> None:
    assert engine("minilm").loaded_features() == {"truncate"}
    refused, fine = embed(engine("minilm"), {"images": [RED]}, {"input": "a"})
    assert isinstance(refused, UnsupportedFeature)
    assert "embeds texts only" in refused.message
    assert len(fine.data) == 1


def test_image_model_refuses_texts(engine: Callable[[str], Engine]) -> None:
    refused, fine = embed(engine("dinov2"), {"input": ["a"], "images": [RED]}, {"images": [RED]})
    assert isinstance(refused, UnsupportedFeature)
    assert "embeds images only" in refused.message
    assert len(fine.data) == 1


@pytest.mark.parametrize("body", [b"{}", b'{"input": []}', b'{"input": [{"photo": "x"}]}', b'{"input": [""]}'])
def test_refuses_inputs_of_other_types(body: bytes) -> None:
    with pytest.raises(InvalidField):
        EMBEDDINGS.decode("application/json", body)
