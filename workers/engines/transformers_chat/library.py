"""Everything that this engine touches of transformers beyond its documented interface, in one place.

A new release of transformers moves such things without notice. Each has a test in
`tests/workers/engines/test_transformers_chat_library.py` whose message says what no longer works when it has moved.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from transformers import DynamicCache, cache_utils
from transformers.modeling_outputs import BaseModelOutputWithPooling

CACHE_NAMES = ("cache", "past_key_values", "cache_params")
"""What a model's forward pass calls its cache: 5.24 and later, earlier ones, earlier ones without attention."""


def _layer(name: str) -> Any:
    return getattr(cache_utils, name, SimpleNamespace)  # of a type that no layer is, where the library has dropped it


ATTENTION = (_layer("DynamicLayer"), _layer("DynamicSlidingWindowLayer"))
"""Layers of a cache that keep `keys` and `values`, each (rows, heads, columns, size)."""
SLIDING = _layer("DynamicSlidingWindowLayer")
"""Those of them that keep the last `sliding_window - 1` columns, and count all in `cumulative_length`."""
LINEAR = _layer("LinearAttentionLayer")
"""Layers that keep a state a row, however long the row is: `conv_states` and `recurrent_states`, by number."""
KNOWN = frozenset(
    {
        *ATTENTION,
        LINEAR,
        _layer("LinearAttentionAndFullAttentionLayer"),
        _layer("LinearAttentionAndSlidingWindowAttentionLayer"),
        _layer("DummyLayer"),
    }
)
"""Exact types: what is derived from them (quantised, static, indexed) keeps more than is handled here."""


def new_cache(model: Any) -> Any:
    """An empty cache with the layers that the model's language model needs."""
    return DynamicCache(config=model.config)


def unknown_layers(cache: Any) -> set[str]:
    """The names of the cache's layer types that cannot be joined, cut or copied here."""
    return {type(layer).__name__ for layer in cache.layers if type(layer) not in KNOWN}


class ForwardPass:
    """A model's forward pass, called with what this model takes of input, mask, positions and cache.

    Raises TypeError when the model takes no cache under any name that is known.
    """

    def __init__(self, model: Any) -> None:
        takes = inspect.signature(model.forward).parameters
        names = [name for name in CACHE_NAMES if name in takes]
        if not names:
            raise TypeError(f"{type(model).__name__} takes no cache under any of the names {', '.join(CACHE_NAMES)}")
        self._model = model
        self._cache_name = names[0]
        self._takes_positions = "position_ids" in takes
        self._shortens = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}

    def __call__(self, inputs: Mapping[str, Any], cache: Any, mask: Any, positions: Any) -> Any:
        """Scores of the token after the last column, (rows, vocabulary) in float32.

        `inputs` hold `input_ids` or `inputs_embeds` for the new columns, which the cache then has as well. `mask` is
        (rows, all columns), or None where no column is hidden from any row. `positions` are (rows, new columns), or
        (axes, rows, new columns).
        """
        given = {"attention_mask": mask, **inputs, **self._shortens, self._cache_name: cache}
        if self._takes_positions:
            given["position_ids"] = positions
        outputs = self._model(**given, use_cache=True, return_dict=True)
        return outputs.logits[:, -1].to(torch.float32, copy=True)


def runs_its_own_code(model: Any) -> bool:
    """Whether the model's class came with its checkpoint."""
    return bool(model.is_remote_code())


def places_tokens_itself(model: Any) -> bool:
    """Whether the model's class has a way of its own to number the tokens of a prompt."""
    own = getattr(type(model), _NUMBERING, None)
    return own is not None and own.__module__ == type(model).__module__


_NUMBERING = "_prepare_position_ids_for_generation"


def rope_index(model: Any) -> Callable[..., tuple[Any, Any]]:
    """Numbers the tokens of a prompt with images in three dimensions.

    Takes `input_ids` (1, tokens) with `mm_token_type_ids` and `image_grid_thw`. Gives positions (3, 1, tokens), and by
    how much the next token's position differs from the count of tokens, (1, 1).
    """
    numbering: Callable[..., tuple[Any, Any]] = model.model.get_rope_index
    return numbering


def image_features(model: Any, pixels: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """Runs the vision encoder. Gives features (tokens, size) of all images in a row, and those of its deeper layers.

    The deeper layers' features have the same shape; only some families (Qwen3-VL) add them inside the language model.
    """
    outputs = model.get_image_features(**pixels, return_dict=True)
    deeper = getattr(outputs, "deepstack_features", None) or []
    return _in_a_row(outputs.pooler_output), [_in_a_row(features) for features in deeper]


def _in_a_row(features: Any) -> Any:
    parts = features if isinstance(features, (list, tuple)) else [features]
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])


def with_image_features(ids: Any, features: Any, deeper: list[Any]) -> dict[str, Any]:
    """Inputs for tokens (1, tokens) of which some stand for images that are encoded already."""
    outputs = BaseModelOutputWithPooling(pooler_output=(features,))
    outputs.deepstack_features = [(layer,) for layer in deeper]
    return {"input_ids": ids, "mm_encoder_outputs": {"image": outputs}}
