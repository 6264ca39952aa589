"""Picks the next token of one answer from the model's scores: the best, or one drawn with random numbers of its own."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx_lm import sample_utils as library

from contract.tasks.chat import ChatRequest


class MlxSampler:
    """What a request asks for, over what the model's authors recommend in generation_config.json.

    `temperature` 0 takes the best token; without one the recommendation decides. With a seed, choice `index` of a
    request is drawn alike each time, whatever else is decoded with it.

    The batch generators of mlx-lm and mlx-vlm call it as a logits processor of its row. It picks there and then, and
    leaves them no other token to choose: so each row has its own sampling in libraries that know one for all.
    """

    def __init__(self, request: ChatRequest, recommended: dict[str, Any], index: int, prompt: Sequence[int]) -> None:
        self._frequency = request.frequency_penalty or 0.0
        self._presence = request.presence_penalty or 0.0
        self._repetition = float(recommended.get("repetition_penalty") or 1.0)
        self._drawing = _drawing(request, recommended)
        seed = secrets.randbits(63) if request.seed is None else request.seed + index
        self._key = mx.random.key(seed % 2**63)
        self._prompt = prompt
        self._counts: Any = None  # (vocabulary,) how often each token has come in the answer
        self._seen: Any = None  # (vocabulary,) whether it has come at all, the prompt included

    @property
    def processors(self) -> list[Any]:
        """What the row needs in a batch generator: nothing where the best score simply wins."""
        plain = self._drawing is None and self._repetition == 1 and not (self._frequency or self._presence)
        return [] if plain else [self]

    def __call__(self, _: Any, scores: Any) -> Any:
        """Scores (1, vocabulary) in which one token is left."""
        return self._pick(scores)

    def process_last_token(self, _: int, scores: Any) -> Any:
        """Pick the next token. mlx-vlm calls this so that it need not copy the tokens so far in each step."""
        return self._pick(scores)

    def _pick(self, scores: Any) -> Any:
        row = scores[0].astype(mx.float32)
        if self._seen is None:
            self._counts = mx.zeros_like(row)
            self._seen = mx.zeros(row.shape, dtype=mx.bool_)
            self._seen[mx.array(list(self._prompt))] = True
        row = self._penalized(row)
        token = row.argmax() if self._drawing is None else self._draw(row)
        chosen = mx.arange(row.shape[0]) == token
        self._counts = self._counts + chosen
        self._seen = self._seen | chosen
        return mx.where(chosen, 0.0, -mx.inf)[None]

    def _penalized(self, row: Any) -> Any:
        """OpenAI's penalties are over the answer's own tokens, the recommended one over the prompt's as well."""
        if self._repetition != 1:
            row = mx.where(self._seen, mx.where(row < 0, row * self._repetition, row / self._repetition), row)
        return row - self._frequency * self._counts - self._presence * (self._counts > 0)

    def _draw(self, row: Any) -> Any:
        drawing = self._drawing or {}
        row = row / drawing.get("temperature", 1.0)
        row = (row - mx.logsumexp(row))[None]
        if 0 < (top_k := int(drawing.get("top_k", 0))) < row.shape[-1]:
            row = library.apply_top_k(row, top_k)
        if (top_p := drawing.get("top_p", 1.0)) < 1:
            row = library.apply_top_p(row, top_p)
        if min_p := drawing.get("min_p", 0.0):
            row = library.apply_min_p(row, min_p)
        self._key, key = mx.random.split(self._key)
        return mx.random.categorical(row[0], key=key)


def _drawing(request: ChatRequest, recommended: dict[str, Any]) -> dict[str, float] | None:
    """How to draw; None: take the best."""
    draws = bool(recommended.get("do_sample")) if request.temperature is None else request.temperature > 0
    if not draws:
        return None
    known = {name: recommended.get(name) for name in ("temperature", "top_k", "top_p", "min_p")}
    known |= {name: value for name in ("temperature", "top_p") if (value := getattr(request, name)) is not None}
    return {name: float(value) for name, value in known.items() if value}
