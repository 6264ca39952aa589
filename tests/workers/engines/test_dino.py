"""Features match those of transformers for each family, alone and in a batch, in every encoding."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from contract.config import ModelSpec
from contract.errors import BadImage, InvalidField, LoadFailed, ServeError
from contract.tasks.features import FEATURES, FeaturesItem, FeaturesRequest
from tests.conftest import Models
from tests.support.odd_images import ODD_IMAGES, OddImage, drawing, encoded
from workers import content_negotiation
from workers.engine import Call, Device
from workers.registry import find_engine

FAMILIES = ("dinov2", "dinov2_with_registers", "dinov3", "dinov3_convnext")
PREFIX_TOKENS = {"dinov2": 1, "dinov2_with_registers": 3, "dinov3": 5, "dinov3_convnext": 1}
GRID = {"dinov2": (5, 5), "dinov2_with_registers": (5, 5), "dinov3": (4, 4), "dinov3_convnext": (2, 2)}


@pytest.fixture(scope="module")
def engine(models: Models) -> Callable[[str], Any]:
    def load(family: str) -> Any:
        loaded = find_engine("dino")()
        spec = ModelSpec(id=family, engine="dino", source=str(models(family)), options={"threads": 1})
        loaded.load(spec, Device("cpu", "float32"))
        return loaded

    return cache(load)


@pytest.fixture(scope="module")
def reference(models: Models, engine: Callable[[str], Any]) -> Callable[..., Any]:
    """The outputs of transformers for images, called directly."""

    def ask(family: str, *images: Image.Image) -> Any:
        engine(family)  # installs the torchvision shim
        import torch
        from transformers import AutoImageProcessor, AutoModel

        model = AutoModel.from_pretrained(models(family)).eval()
        inputs = AutoImageProcessor.from_pretrained(models(family))(list(images), return_tensors="pt")
        with torch.inference_mode():
            return model(**inputs, output_hidden_states=True)

    return ask


def two_images() -> list[Image.Image]:
    """Images of different sizes and contents."""
    return [drawing(), ImageOps.invert(drawing()).resize((50, 90))]


def request(*images: Image.Image, **fields: Any) -> Call[FeaturesRequest]:
    return Call(FeaturesRequest.model_validate({"images": [encoded(image) for image in images], **fields}))


def ask(engine: Any, *calls: Call[FeaturesRequest]) -> list[Any]:
    answers = dict(engine.extract(list(calls)))
    return [answers[call] for call in calls]


def item(engine: Any, **fields: Any) -> FeaturesItem:
    [answer] = ask(engine, request(drawing(), **fields))
    assert not isinstance(answer, ServeError), answer
    features: FeaturesItem = answer.data[0]
    return features


def values(array: Any) -> Any:
    return np.frombuffer(array.data, "<f4").reshape(array.shape)


@pytest.mark.parametrize("family", FAMILIES)
def test_features_match_transformers_alone_and_batched(
    family: str, engine: Callable[[str], Any], reference: Callable[..., Any]
) -> None:
    expected = reference(family, *two_images())
    everything = {"pooled": True, "patches": True, "tokens": True}
    first, both = ask(engine(family), request(two_images()[0], **everything), request(*two_images(), **everything))
    assert [(item.index, item.width, item.height) for item in both.data] == [(0, 80, 60), (1, 50, 90)]
    for row, features in ((0, first.data[0]), (0, both.data[0]), (1, both.data[1])):
        every = expected.last_hidden_state[row].numpy()
        tokens = every[PREFIX_TOKENS[family] :]
        assert features.tokens.shape == every.shape
        assert np.abs(values(features.tokens.data) - every).max() < 1e-5
        assert features.dimensions == 32
        assert features.patches.shape == (*GRID[family], 32)
        assert np.abs(values(features.pooled) - expected.pooler_output[row].numpy()).max() < 1e-5
        assert np.abs(values(features.patches.data).reshape(tokens.shape) - tokens).max() < 1e-5
    assert np.abs(values(both.data[0].pooled) - values(both.data[1].pooled)).max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_the_hidden_states_of_transformers(
    family: str, engine: Callable[[str], Any], reference: Callable[..., Any]
) -> None:
    states = reference(family, drawing()).hidden_states
    layers = item(engine(family), layers=[1, -1], patches=True).layers
    assert layers
    assert [layer.layer for layer in layers] == [1, -1]
    for layer in layers:
        state = states[layer.layer][0].numpy()
        if family == "dinov3_convnext":
            pooled, patches = state.mean((1, 2)), state.transpose(1, 2, 0)
        else:
            pooled, patches = state[0], state[PREFIX_TOKENS[family] :].reshape(*GRID[family], -1)
        assert np.abs(values(layer.pooled) - pooled).max() < 1e-5
        assert layer.patches
        assert np.abs(values(layer.patches.data) - patches).max() < 1e-5


def test_normalize_scales_vectors_to_length_one(engine: Callable[[str], Any]) -> None:
    plain, scaled = (item(engine("dinov3"), normalize=on, patches=True, layers=[2]) for on in (False, True))
    for vector, unit in ((plain.pooled, scaled.pooled), (plain.layers[0].pooled, scaled.layers[0].pooled)):
        assert np.linalg.norm(values(unit)) == pytest.approx(1, abs=1e-5)
        assert np.allclose(values(vector) / np.linalg.norm(values(vector)), values(unit), atol=1e-6)
    assert scaled.patches
    assert np.allclose(np.linalg.norm(values(scaled.patches.data), axis=-1), 1, atol=1e-5)


def test_returns_only_what_is_requested(engine: Callable[[str], Any]) -> None:
    plain = item(engine("dinov2"))
    assert (plain.patches, plain.tokens, plain.layers) == (None, None, None)
    assert item(engine("dinov2"), pooled=False, patches=True).pooled is None
    assert item(engine("dinov2"), pooled=False, tokens=True).tokens


def test_all_encodings_hold_the_same_numbers(engine: Callable[[str], Any]) -> None:
    numbers, coded = (
        item(engine("dinov2"), encoding_format=encoding).model_dump(mode="json") for encoding in ("float", "base64")
    )
    assert np.array_equal(np.array(numbers["pooled"], "<f4"), np.frombuffer(base64.b64decode(coded["pooled"]), "<f4"))
    [answer] = ask(engine("dinov2"), request(drawing()))
    headers, content = content_negotiation.writer_for(content_negotiation.BYTES)(answer)
    assert dict(headers)[b"x-array-shape"] == b"32"
    assert np.array_equal(np.frombuffer(content, "<f4"), np.array(numbers["pooled"], "<f4"))


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_reads_unusual_images_as_displayed(odd: OddImage, engine: Callable[[str], Any]) -> None:
    call = Call(FeaturesRequest.model_validate({"images": [odd.uri, odd.plain_uri]}))
    [answer] = ask(engine("dinov2"), call)
    unusual, plain = answer.data
    assert (unusual.width, unusual.height) == odd.size
    assert np.abs(values(unusual.pooled) - values(plain.pooled)).max() < 1e-5


@pytest.mark.parametrize(("family", "layer"), [("dinov2", 4), ("dinov2", -5), ("dinov3_convnext", 0)])
def test_rejects_a_missing_layer_in_its_own_call_only(family: str, layer: int, engine: Callable[[str], Any]) -> None:
    error, answer = ask(engine(family), request(drawing(), layers=[1, layer]), request(drawing(), layers=[1]))
    assert isinstance(error, InvalidField)
    assert error.param == "layers"
    assert f"no layer {layer}. It has" in error.message
    assert len(answer.data) == 1


def test_broken_image_fails_alone(engine: Callable[[str], Any]) -> None:
    broken = Call(FeaturesRequest.model_validate({"image": b"GIF89a"}))
    error, answer = ask(engine("dinov2"), broken, request(drawing()))
    assert isinstance(error, BadImage)
    assert len(answer.data) == 1


def test_request_must_ask_for_pooled_or_patches() -> None:
    with pytest.raises(InvalidField, match="Set `pooled`, `patches`"):
        FEATURES.decode("application/json", b'{"image": "aGk=", "pooled": false}')


def test_rejects_other_models_and_names_their_engine(models: Models) -> None:
    spec = ModelSpec(id="x", engine="dino", source=str(models("sam2")))
    with pytest.raises(LoadFailed, match="`engine: transformers_segment`"):
        find_engine("dino")().load(spec, Device("cpu", "float32"))
