"""Reads prompts whose tokens are reported with their probabilities: in chunks, beside the running rows.

The libraries' batch generators read prompts without their scores, so the model reads these prompts here. A language
model's generator then continues from the KV cache. That of mlx-vlm takes none, and reads the prompt once more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any

import mlx.core as mx

from workers.toolkit.chat.logprobs import PickedToken

CHUNK = 512
"""The most tokens of a prompt that are read between two decode steps, for which running rows wait."""

_SCORED_TOGETHER = 64
"""The most tokens whose probabilities are computed together, in float32."""


class PromptScores(ABC):
    """The tokens of one prompt but the first, with their probabilities and `alternatives` of the most probable."""

    def __init__(self, model: Any, tokens: list[int], alternatives: int) -> None:
        self._model, self._tokens, self._alternatives = model, tokens, alternatives
        self._at = 0
        self.picked: list[PickedToken] = []
        """Those of the tokens that are read."""

    @property
    def is_read(self) -> bool:
        """Whether everything is read but the last token, whose scores are for the token after the prompt."""
        return self._at >= len(self._tokens) - 1

    def advance(self) -> int:
        """Read the next chunk. Returns the number of its tokens."""
        scores = self._read(self._at)
        following = self._tokens[self._at + 1 : self._at + 1 + len(scores)]
        for begin in range(0, len(following), _SCORED_TOGETHER):
            end = begin + _SCORED_TOGETHER
            self.picked += _picked(following[begin:end], scores[begin:end], self._alternatives)
        self._at += len(scores)
        return len(scores)

    @abstractmethod
    def _read(self, begin: int) -> Any:
        """Read a chunk of the tokens from `begin` on, without the last one. Returns the scores (tokens, vocabulary)."""

    def take_cache(self) -> Any:
        """The KV cache of all tokens but the last, which the first caller gets; None if there is none."""
        return None


class TextScores(PromptScores):
    """Those of a language model."""

    _cache: Any = None

    def _read(self, begin: int) -> Any:
        from mlx_lm.models.cache import make_prompt_cache

        if self._cache is None:
            self._cache = make_prompt_cache(self._model)
        chunk = self._tokens[:-1][begin : begin + CHUNK]
        scores = self._model(mx.array([chunk]), cache=self._cache)[0]
        mx.eval(scores, [layer.state for layer in self._cache])
        return scores

    def take_cache(self) -> Any:
        cache, self._cache = self._cache, None
        return cache


class VisionScores(PromptScores):
    """Those of a vision-language model, for a text. `embed` makes the text's inputs.

    mlx-vlm's own prefill knows which inputs of each family go with which tokens.
    """

    def __init__(self, model: Any, tokens: list[int], alternatives: int, embed: Callable[[], dict[str, Any]]) -> None:
        super().__init__(model, tokens, alternatives)
        self._embed = embed

    def _read(self, begin: int) -> Any:
        count = self._prefill.prompt_step()
        scores = self._recorder.scores
        assert scores.shape[0] == count, "the model has scores for each token"
        mx.eval(scores)
        if begin + count >= len(self._tokens) - 1:
            del self._prefill
        return scores

    @cached_property
    def _recorder(self) -> _RecordingModel:
        return _RecordingModel(self._model.language_model)

    @cached_property
    def _prefill(self) -> Any:
        from mlx_vlm.generate import PromptProcessingBatch

        inputs = self._embed()
        embeddings = inputs.pop("inputs_embeds")
        return PromptProcessingBatch(
            self._recorder, [0], [self._tokens], [1], embeddings, inputs, prefill_step_size=CHUNK
        )


class _RecordingModel:
    """A language model that keeps the scores of the tokens that it read last."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.scores: Any = None  # (tokens, vocabulary)

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        output = self._model(*inputs, **keywords)
        self.scores = output.logits[0]
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def _picked(tokens: list[int], scores: Any, alternatives: int) -> list[PickedToken]:
    """Tokens with their probabilities and the most probable ones, given the model's scores (tokens, vocabulary)."""
    scores = scores.astype(mx.float32)
    logprobs = scores - mx.logsumexp(scores, axis=-1, keepdims=True)
    own: Any = mx.take_along_axis(logprobs, mx.array(tokens)[:, None], axis=-1)[:, 0].tolist()
    if not alternatives:
        return [PickedToken(token, value) for token, value in zip(tokens, own, strict=True)]
    best = mx.argpartition(-logprobs, kth=alternatives - 1, axis=-1)[:, :alternatives]
    values = mx.take_along_axis(logprobs, best, axis=-1)
    order = mx.argsort(-values, axis=-1)
    top: list[Any] = [mx.take_along_axis(array, order, axis=-1).tolist() for array in (best, values)]
    return [
        PickedToken(token, value, list(zip(ids, logprobs_of_ids, strict=True)))
        for token, value, ids, logprobs_of_ids in zip(tokens, own, *top, strict=True)
    ]
