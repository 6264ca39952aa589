"""What the chat engine touches of transformers beyond its documented interface is where `library` says it is.

When one of these fails after an update of transformers, its message says what no longer works and where to mend it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from transformers import DynamicCache, cache_utils

from tests.support.chat_engines import picture
from workers.engines.transformers_chat import families, library

MEND = f"transformers {transformers.__version__}: mend workers/engines/transformers_chat/library.py."
ATTENTION = ["DynamicLayer", "DynamicSlidingWindowLayer"]
LINEAR = [
    "LinearAttentionLayer",
    "LinearAttentionAndFullAttentionLayer",
    "LinearAttentionAndSlidingWindowAttentionLayer",
]
VISION = ["qwen2_5_vl", "qwen3_vl", "smolvlm", "llava", "idefics3", "paddleocr_vl"]

Engine = Callable[[str], Any]


@pytest.mark.parametrize("family", ["lm", "qwen2_5_vl", "smolvlm", "mamba"])
def test_a_model_takes_its_cache_under_a_known_name(family: str, chat_engine: Engine) -> None:
    takes = inspect.signature(chat_engine(family)._model.forward).parameters
    assert {*library.CACHE_NAMES} & {*takes}, (
        f"The forward pass takes its cache under a new name, among {sorted(takes)}: without it no request joins "
        f"another's steps. Add the name to CACHE_NAMES. {MEND}"
    )


@pytest.mark.parametrize("name", [*ATTENTION, *LINEAR, "DummyLayer"])
def test_the_kinds_of_layers_are_there(name: str) -> None:
    assert hasattr(cache_utils, name), (
        f"There is no cache layer {name} any more: models that have it answer one request after another. {MEND}"
    )
    assert getattr(cache_utils, name) in library.KNOWN


def test_layers_of_attention_keep_columns_where_rows_are_joined() -> None:
    layer = cache_utils.DynamicLayer()
    keys = torch.arange(24.0).reshape(1, 2, 3, 4)
    layer.update(keys, keys + 1)
    assert torch.equal(layer.keys, keys), f"`keys` are not (rows, heads, columns, size): rows cannot be joined. {MEND}"
    assert torch.equal(layer.values, keys + 1), f"`values` are not where they were: rows cannot be joined. {MEND}"
    layer.reorder_cache(torch.tensor([0, 0, 0]))
    assert layer.keys.shape[0] == 3, f"`reorder_cache` keeps the number of rows: choices cannot share a prompt. {MEND}"


def test_sliding_layers_count_what_is_gone() -> None:
    layer = cache_utils.DynamicSlidingWindowLayer(sliding_window=4)
    layer.update(torch.zeros(1, 1, 9, 2), torch.zeros(1, 1, 9, 2))
    assert layer.cumulative_length == 9, f"`cumulative_length` does not count all columns: masks would be wrong. {MEND}"
    assert layer.keys.shape[-2] == 3, f"A window keeps other columns than the last `sliding_window - 1`. {MEND}"


def test_linear_layers_keep_states_by_number() -> None:
    cache = cache_utils.Cache(layers=[cache_utils.LinearAttentionLayer()])
    cache.update_conv_state(torch.ones(1, 2, 3), 0, 0)
    cache.update_recurrent_state(torch.ones(1, 2, 5), 0, 0)
    [layer] = cache.layers
    for states, size in ((layer.conv_states, 3), (layer.recurrent_states, 5)):
        assert states[0].shape == (1, 2, size), f"States are not kept by number, a row each. {MEND}"
    assert layer.has_previous_state[0], f"A state that was put in does not count: earlier turns would be lost. {MEND}"


def test_a_new_cache_has_the_layers_of_the_model(chat_engine: Engine) -> None:
    kinds = {
        family: {type(layer).__name__ for layer in library.new_cache(chat_engine(family)._model).layers}
        for family in ("lm", "sliding", "convolving")
    }
    assert kinds == {
        "lm": {"DynamicLayer"},
        "sliding": {"DynamicLayer", "DynamicSlidingWindowLayer"},
        "convolving": {"DynamicLayer", "LinearAttentionLayer"},
    }, f"DynamicCache(config=…) makes other layers: windows and states would not be kept as the model needs. {MEND}"


def test_what_is_not_known_is_named() -> None:
    class Odd(cache_utils.DynamicLayer):
        pass

    cache = DynamicCache()
    cache.layers = [cache_utils.DynamicLayer(), Odd()]
    assert library.unknown_layers(cache) == {"Odd"}


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "paddleocr_vl"])
def test_tokens_are_numbered_in_three_dimensions(family: str, chat_engine: Engine) -> None:
    engine = chat_engine(family)
    inputs = engine._encoder.with_image()
    assert "mm_token_type_ids" in inputs, f"The processor does not say which tokens are pictures. {MEND}"
    positions, offset = library.rope_index(engine._model)(
        inputs["input_ids"], mm_token_type_ids=inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
    )
    tokens = inputs["input_ids"].shape[-1]
    assert positions.shape == (3, 1, tokens), f"get_rope_index gives other positions: pictures would be misread. {MEND}"
    assert offset.numel() == 1, f"get_rope_index gives no offset for a row: answers would be misplaced. {MEND}"
    assert library.places_tokens_itself(engine._model), f"Nothing says which models number tokens themselves. {MEND}"


@pytest.mark.parametrize("family", VISION)
def test_pictures_are_encoded_by_themselves(family: str, chat_engine: Engine) -> None:
    engine = chat_engine(family)
    messages = [{"role": "user", "content": [{"type": "image", "image": picture()}, {"type": "text", "text": "?"}]}]
    inputs = engine._encoder.encode(messages)
    adapter = engine._machine.family
    assert type(adapter) is not families.Family, f"{family} has no adapter: its pictures are read whole"
    row = adapter.row(inputs)
    assert row.whole is None, f"The processor gives pictures otherwise: they are read whole, every time. {MEND}"
    with torch.inference_mode():
        features = adapter.encode(row.images)
    assert [len(f) for f in features] == [len(image.tokens) for image in row.images], (
        f"get_image_features gives other features than a prompt has tokens: pictures cannot be kept. {MEND}"
    )


def test_code_of_its_own_is_told_apart(chat_engine: Engine) -> None:
    assert not library.runs_its_own_code(chat_engine("lm")._model), f"is_remote_code means something else now. {MEND}"
