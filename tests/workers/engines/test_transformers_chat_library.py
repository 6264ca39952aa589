"""What the chat engine uses of transformers beyond its documented API still is as `library` expects.

If one of these tests fails after an update of transformers, its message says what no longer works.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from transformers import DynamicCache, cache_utils

from tests.support.chat_engines import drawn_image, request, with_images
from workers.engines.transformers_chat import families, library

FIX = f"transformers {transformers.__version__}: adapt workers/engines/transformers_chat/library.py."
ATTENTION = ["DynamicLayer", "DynamicSlidingWindowLayer"]
LINEAR = [
    "LinearAttentionLayer",
    "LinearAttentionAndFullAttentionLayer",
    "LinearAttentionAndSlidingWindowAttentionLayer",
]
VISION = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "llava", "idefics3", "paddleocr_vl"]

Engine = Callable[[str], Any]


@pytest.mark.parametrize("family", ["lm", "qwen2_5_vl", "smolvlm", "mamba"])
def test_cache_argument_is_known(family: str, chat_engine: Engine) -> None:
    parameters = inspect.signature(chat_engine(family)._model.forward).parameters
    assert {*library.CACHE_NAMES} & {*parameters}, (
        f"The forward pass takes its cache under a new name, among {sorted(parameters)}: requests cannot join "
        f"running ones. Add the name to CACHE_NAMES. {FIX}"
    )


@pytest.mark.parametrize("name", [*ATTENTION, *LINEAR, "DummyLayer"])
def test_layer_class_exists(name: str) -> None:
    assert hasattr(cache_utils, name), (
        f"The cache layer {name} no longer exists: models with it answer one request after another. {FIX}"
    )
    assert getattr(cache_utils, name) in library.KNOWN


def test_attention_layers_keep_keys_and_values() -> None:
    layer = cache_utils.DynamicLayer()
    keys = torch.arange(24.0).reshape(1, 2, 3, 4)
    layer.update(keys, keys + 1)
    assert torch.equal(layer.keys, keys), f"`keys` are not (rows, heads, columns, size): rows cannot be joined. {FIX}"
    assert torch.equal(layer.values, keys + 1), f"`values` have moved: rows cannot be joined. {FIX}"
    layer.reorder_cache(torch.tensor([0, 0, 0]))
    assert layer.keys.shape[0] == 3, f"`reorder_cache` cannot repeat rows: choices cannot share a prompt. {FIX}"


def test_sliding_layers_count_all_columns() -> None:
    layer = cache_utils.DynamicSlidingWindowLayer(sliding_window=4)
    layer.update(torch.zeros(1, 1, 9, 2), torch.zeros(1, 1, 9, 2))
    assert layer.cumulative_length == 9, f"`cumulative_length` does not count all columns: masks would be wrong. {FIX}"
    assert layer.keys.shape[-2] == 3, f"A sliding window no longer keeps the last `sliding_window - 1` columns. {FIX}"


def test_linear_layers_keep_numbered_states() -> None:
    cache = cache_utils.Cache(layers=[cache_utils.LinearAttentionLayer()])
    cache.update_conv_state(torch.ones(1, 2, 3), 0, 0)
    cache.update_recurrent_state(torch.ones(1, 2, 5), 0, 0)
    [layer] = cache.layers
    for states, size in ((layer.conv_states, 3), (layer.recurrent_states, 5)):
        assert states[0].shape == (1, 2, size), f"States are no longer kept by number, one for each row. {FIX}"
    assert layer.has_previous_state[0], f"A restored state is ignored: earlier turns would be lost. {FIX}"


def test_new_cache_has_the_layers_of_the_model(chat_engine: Engine) -> None:
    layers = {
        family: {type(layer).__name__ for layer in library.new_cache(chat_engine(family)._model).layers}
        for family in ("lm", "sliding", "convolving")
    }
    assert layers == {
        "lm": {"DynamicLayer"},
        "sliding": {"DynamicLayer", "DynamicSlidingWindowLayer"},
        "convolving": {"DynamicLayer", "LinearAttentionLayer"},
    }, f"DynamicCache(config=…) makes other layers: windows and states would be wrong. {FIX}"


def test_unknown_layers_are_named() -> None:
    class Odd(cache_utils.DynamicLayer):
        pass

    cache = DynamicCache()
    cache.layers = [cache_utils.DynamicLayer(), Odd()]
    assert library.unknown_layers(cache) == {"Odd"}


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "paddleocr_vl"])
def test_rope_index_gives_three_dimensions(family: str, chat_engine: Engine) -> None:
    engine = chat_engine(family)
    inputs = engine._encoder.with_image()
    assert "mm_token_type_ids" in inputs, f"The processor does not report which tokens belong to images. {FIX}"
    positions, offset = library.rope_index(engine._model)(
        inputs["input_ids"], mm_token_type_ids=inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
    )
    tokens = inputs["input_ids"].shape[-1]
    assert positions.shape == (3, 1, tokens), f"get_rope_index returns other positions: images would be misread. {FIX}"
    assert offset.numel() == 1, f"get_rope_index returns no offset for a row: answers would get wrong positions. {FIX}"


@pytest.mark.parametrize("family", VISION)
def test_images_are_encoded_separately(family: str, chat_engine: Engine) -> None:
    engine = chat_engine(family)
    inputs = engine._encoder.encode(request(with_images("?", drawn_image())))
    adapter = engine._runner.family
    assert type(adapter) is not families.ChatFamily, f"{family} has no adapter: its prompts with images are read whole"
    row = adapter.row(inputs)
    assert row.whole is None, f"The processor returns images in another form: prompts with images are read whole. {FIX}"
    with torch.inference_mode():
        features = adapter.encode(row.images)
    assert [len(f) for f in features] == [len(image.tokens) for image in row.images], (
        f"get_image_features returns more or fewer features than there are tokens: images cannot be cached. {FIX}"
    )


def test_custom_code_is_recognised(chat_engine: Engine) -> None:
    assert not library.runs_its_own_code(chat_engine("lm")._model), f"`is_remote_code` has changed its meaning. {FIX}"


@pytest.mark.parametrize("family", [*VISION, "gemma3"])
def test_image_tokens_are_those_of_the_prompt(family: str, chat_engine: Engine) -> None:
    engine = chat_engine(family)
    images = [drawn_image(size=(160, 120)), drawn_image(size=(60, 200))]
    prompts = [request(with_images("?", *images[:number])) for number in (0, 2)]
    counts = [len(engine._encoder.encode(prompt)["input_ids"][0]) for prompt in prompts]
    tokens = library.image_tokens(engine._loaded.processor, [image.size for image in images])
    assert tokens, f"Processors no longer tell how many tokens images have: they are prepared in vain. {FIX}"
    assert -4 <= counts[1] - counts[0] - tokens <= 60, f"Images are refused that fit, or not refused. {FIX}"
