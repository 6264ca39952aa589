"""How an answer is sampled: as the request asks, and otherwise as the model's authors recommend."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from contract.errors import InvalidField
from contract.tasks.chat import SampledRequest

SAMPLING_FEATURES = frozenset({"sampling", "penalties", "logit_bias", "logprobs", "token_control"})
"""The features of an engine that honours all fields of requests about sampling."""


def settings_of(request: SampledRequest, recommended: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by their names in generation_config.json, where `recommended` comes from.

    `temperature` 0 is greedy; without a temperature the recommendation decides. A `top_k` of 0 or -1 is none.
    """
    requested = {
        "do_sample": None if request.temperature is None else request.temperature > 0,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": None if request.top_k is None else max(request.top_k, 0),
        "min_p": request.min_p,
        "repetition_penalty": request.penalty_of_repetition,
        "min_new_tokens": request.min_tokens,
    }
    return {**recommended, **{name: value for name, value in requested.items() if value is not None}}


def biases_of(request: SampledRequest) -> dict[int, float]:
    """What is added to the scores of tokens, by their ids."""
    return {int(token): bias for token, bias in (request.logit_bias or {}).items() if bias}


def ends_of(request: SampledRequest, model_ends: Set[int]) -> frozenset[int]:
    """The tokens that end the answer: the model's, unless the request ignores them, and the request's own."""
    ends = frozenset() if request.ignore_eos else frozenset(model_ends)
    return ends | frozenset(request.stop_token_ids or ())


def check_token_ids(request: SampledRequest, vocabulary: int) -> None:
    """Raise InvalidField for a token that the model does not have; `vocabulary` is the number of its tokens."""
    ids = {"logit_bias": biases_of(request), "stop_token_ids": request.stop_token_ids or ()}
    for field, tokens in ids.items():
        if tokens and max(tokens) >= vocabulary:
            message = f"`{field}`: there is no token {max(tokens)}; this model's tokens are 0 to {vocabulary - 1}."
            raise InvalidField(message, param=field)
