"""Picks the next tokens of choices from the model's scores: the best, or drawn with a choice's own random generator."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from contract.tasks.chat import SampledRequest
from workers.engines.transformers_chat.score_processors import Processors, processors_of
from workers.engines.transformers_chat.token_draw import TokenFilter, draw, rows_of
from workers.toolkit.chat.constraints.masks import RowMasks
from workers.toolkit.chat.logprobs import PickedToken
from workers.toolkit.chat.sampling_settings import biases_of, settings_of

_SCORED_TOGETHER = 64
"""For how many tokens probabilities are computed at a time: each needs a vocabulary of float32."""


class TokenSampler:
    """Samples as the request asks, and otherwise as the model's authors recommend.

    With a seed, choice `index` of a request always gets the same tokens, whatever else is in the batch. `ends` are the
    tokens that end the answer.
    """

    def __init__(
        self, request: SampledRequest, recommended: Mapping[str, Any], ends: frozenset[int], index: int
    ) -> None:
        self.ends = ends
        self.picked: deque[PickedToken] = deque()
        """The tokens with their probabilities, oldest first, if the request wants to know them."""
        self._settings = settings_of(request, recommended)
        self._biases = biases_of(request)
        self._top = request.reported_alternatives
        self._frequency = request.frequency_penalty or 0.0
        self._presence = request.presence_penalty or 0.0
        self._counts: Any = None  # (vocabulary,) occurrences in the answer; None until a penalty needs them
        self.filter = TokenFilter.of(self._settings)
        """From which tokens to draw; None: it takes the best."""
        self.random = _generator(request.seed, index)
        self._processors: Processors | None = None
        self._tokens: Any = None  # (1, tokens) of prompt and answer; None if no processor needs them

    def begin(self, prompt: Any) -> None:
        """Apply the settings to the answer to a prompt, tokens (tokens,), on the scores' device."""
        processors = processors_of(self._settings, self._biases, len(prompt), sorted(self.ends), prompt.device)
        if processors is not None:
            self._processors, self._tokens = processors, prompt[None]

    @property
    def reports(self) -> bool:
        """Whether the request wants to know the probabilities of tokens."""
        return self._top is not None

    def note(self, token: int, scores: Any) -> None:
        """Add a token to `picked`, if the request wants to know it; `scores` (vocabulary,) are the model's own."""
        if self._top is not None:
            self.picked += picked_tokens([token], scores[None], self._top)

    @property
    def is_plain(self) -> bool:
        """Whether it always picks the best score, without penalties or processors."""
        return self.filter is None and not self.adjusts

    @property
    def adjusts(self) -> bool:
        """Whether penalties or processors change the scores."""
        return bool(self._processors or self._frequency or self._presence)

    def adjusted(self, scores: Any) -> Any:
        """The scores (vocabulary,) after penalties and processors, which do not change what they are given."""
        if self._processors is not None:
            processed = self._processors(self._tokens, scores[None])[0]
            # They may exclude all that a constraint has left, such as the repetition of a bracket.
            scores = torch.where(processed.isneginf().all(), scores, processed)
        if self._frequency or self._presence:
            scores = self._penalized(scores)
        return scores

    def add(self, token: int) -> None:
        """Count a token that was picked."""
        if self._counts is not None:
            self._counts[token] += 1
        if self._tokens is not None:
            self._tokens = torch.cat([self._tokens, self._tokens.new_tensor([[token]])], dim=-1)

    def _penalized(self, scores: Any) -> Any:
        """Apply OpenAI's penalties, which count the answer's tokens, not the prompt's."""
        if self._counts is None:
            self._counts = torch.zeros_like(scores)
        return scores - self._frequency * self._counts - self._presence * (self._counts > 0)


def pick(samplers: Sequence[TokenSampler], scores: Any) -> list[int]:
    """The next token of each row, given scores (rows, vocabulary) in float32."""
    if any(sampler.adjusts for sampler in samplers):
        scores = torch.stack([sampler.adjusted(row) for sampler, row in zip(samplers, scores, strict=True)])
    drawn = [number for number, sampler in enumerate(samplers) if sampler.filter is not None]
    tokens: list[int] = scores.argmax(-1).tolist() if len(drawn) < len(samplers) else [0] * len(samplers)
    if drawn:
        filters = [item for number in drawn if (item := samplers[number].filter)]
        for number, token in zip(
            drawn, draw(rows_of(scores, drawn), filters, [samplers[n].random for n in drawn]), strict=True
        ):
            tokens[number] = token
    for sampler, token in zip(samplers, tokens, strict=True):
        sampler.add(token)
    return tokens


def picked_tokens(tokens: Sequence[int], scores: Any, alternatives: int) -> list[PickedToken]:
    """Tokens with their probabilities and most probable alternatives, given the model's scores (tokens, vocabulary)."""
    picked = []
    for begin in range(0, len(tokens), _SCORED_TOGETHER):
        ids = tokens[begin : begin + _SCORED_TOGETHER]
        logprobs = scores[begin : begin + len(ids)].float().log_softmax(-1)
        own = logprobs.gather(-1, torch.tensor(ids, device=logprobs.device)[:, None])[:, 0].tolist()
        best = logprobs.topk(alternatives)
        alike = zip(ids, own, best.indices.tolist(), best.values.tolist(), strict=True)
        picked += [PickedToken(token, value, list(zip(*top, strict=True))) for token, value, *top in alike]
    return picked


def exclude(scores: Any, masks: RowMasks) -> None:
    """Set the scores of tokens that constrained rows must not have to minus infinity, in place.

    `scores` are (rows, vocabulary). A copy of them would take longer than all else that constraints do in a step.
    """
    if masks.rows:
        excluded = torch.from_numpy(masks.take()).to(scores.device)
        for row, tokens in zip(masks.rows, excluded, strict=True):
            scores[row].masked_fill_(tokens, -torch.inf)


def _generator(seed: int | None, index: int) -> torch.Generator:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed((seed + index) % 2**63)
    return generator
