"""Everything that this engine uses of transformers beyond the documented API.

A new release of transformers may change any of it without notice. Each item has a test in
`tests/workers/engines/test_transformers_chat_library.py` that says what breaks if it changes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from transformers import DynamicCache, cache_utils
from transformers.modeling_outputs import BaseModelOutputWithPooling

CACHE_NAMES = ("cache", "past_key_values", "cache_params")
"""Names of the forward pass's cache argument: since 5.24, before 5.24, and before 5.24 in models without attention."""


def _layer(name: str) -> Any:
    return getattr(cache_utils, name, SimpleNamespace)  # a type that no layer has


ATTENTION = (_layer("DynamicLayer"), _layer("DynamicSlidingWindowLayer"))
"""Cache layers with `keys` and `values`, each (rows, heads, columns, size)."""
SLIDING = _layer("DynamicSlidingWindowLayer")
"""Cache layers that keep the last `sliding_window - 1` columns, and count all columns in `cumulative_length`."""
LINEAR = _layer("LinearAttentionLayer")
"""Cache layers with one state for each row: `conv_states` and `recurrent_states`, by number."""
KNOWN = frozenset(
    {
        *ATTENTION,
        LINEAR,
        _layer("LinearAttentionAndFullAttentionLayer"),
        _layer("LinearAttentionAndSlidingWindowAttentionLayer"),
        _layer("DummyLayer"),
    }
)
"""Compared by exact type, since subclasses (quantised, static, indexed) keep data that is not handled here."""


def new_cache(model: Any) -> Any:
    """An empty cache with the layers that the model needs."""
    return DynamicCache(config=model.config)


def unknown_layers(cache: Any) -> set[str]:
    """The names of the cache's layer types that are not in `KNOWN`."""
    return {type(layer).__name__ for layer in cache.layers if type(layer) not in KNOWN}


class ForwardPass:
    """Calls a model with the arguments that its forward pass takes.

    Raises TypeError if the model takes no cache under any known name.
    """

    def __init__(self, model: Any) -> None:
        parameters = inspect.signature(model.forward).parameters
        names = [name for name in CACHE_NAMES if name in parameters]
        if not names:
            raise TypeError(f"{type(model).__name__} takes no cache under any of the names {', '.join(CACHE_NAMES)}")
        self._model = model
        self._cache_name = names[0]
        self._takes_positions = "position_ids" in parameters
        self._last_logits_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def __call__(self, inputs: Mapping[str, Any], cache: Any, mask: Any, positions: Any) -> Any:
        """Run the model. Returns the scores of the token after the last column, (rows, vocabulary) in float32.

        The arguments are those of `all_scores`.
        """
        outputs = self._run(inputs, cache, mask, positions, self._last_logits_only)
        return outputs[:, -1].to(torch.float32, copy=True)

    def all_scores(self, inputs: Mapping[str, Any], cache: Any, mask: Any, positions: Any) -> Any:
        """Run the model. Returns the scores of the token after each new column, (rows, new columns, vocabulary).

        `inputs` have the `input_ids` or `inputs_embeds` of the new columns, which are added to the cache. `mask` is
        (rows, all columns), or None if no column is hidden. `positions` are (rows, new columns) or (axes, rows, new
        columns).
        """
        return self._run(inputs, cache, mask, positions, {})

    def _run(self, inputs: Mapping[str, Any], cache: Any, mask: Any, positions: Any, options: Mapping[str, Any]) -> Any:
        arguments = {"attention_mask": mask, **inputs, **options, self._cache_name: cache}
        if self._takes_positions:
            arguments["position_ids"] = positions
        return self._model(**arguments, use_cache=True, return_dict=True).logits


def runs_its_own_code(model: Any) -> bool:
    """Whether the model's class was loaded from its checkpoint instead of from transformers."""
    return bool(model.is_remote_code())


def image_tokens(processor: Any, sizes: Sequence[tuple[int, int]]) -> int:
    """About how many tokens images of these sizes (width, height) become; 0 if the processor cannot tell."""
    if count_all := getattr(processor, "_get_num_multimodal_tokens", None):
        return sum(map(int, count_all(image_sizes=[(height, width) for width, height in sizes]).num_image_tokens))
    count = getattr(processor.image_processor, "get_number_of_image_patches", None)
    if count is None:
        return 0
    patches = (count(height, width, {}) for width, height in sizes)
    if hasattr(processor, "image_seq_len"):  # SmolVLM: the number of tiles, and their rows and columns
        return int(processor.image_seq_len) * sum(int(tiles) for tiles, _, _ in patches)
    return int(sum(patches)) // int(getattr(processor.image_processor, "merge_size", 1)) ** 2


def rope_index(model: Any) -> Callable[..., tuple[Any, Any]]:
    """The model's function for positions in three dimensions.

    It takes `input_ids` (1, tokens), `mm_token_type_ids` and `image_grid_thw`. It returns positions (3, 1, tokens), and
    the difference (1, 1) between the next token's position and the number of tokens.
    """
    get_rope_index: Callable[..., tuple[Any, Any]] = model.model.get_rope_index
    return get_rope_index


def image_features(model: Any, pixels: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """Run the vision encoder. Returns the features (tokens, size) of all images, and those of its inner layers.

    The inner layers' features have the same shape. Only some families (Qwen3-VL) have them.
    """
    outputs = model.get_image_features(**pixels, return_dict=True)
    inner = getattr(outputs, "deepstack_features", None) or []
    return _flattened(outputs.pooler_output), [_flattened(features) for features in inner]


def _flattened(features: Any) -> Any:
    """Features (tokens, size) of all images together, in order."""
    parts = features if isinstance(features, (list, tuple)) else [features]
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])


def with_image_features(ids: Any, features: Any, inner: list[Any]) -> dict[str, Any]:
    """Inputs for token ids (1, tokens), some of which belong to images that are already encoded."""
    outputs = BaseModelOutputWithPooling(pooler_output=(features,))
    outputs.deepstack_features = [(layer,) for layer in inner]
    return {"input_ids": ids, "mm_encoder_outputs": {"image": outputs}}
