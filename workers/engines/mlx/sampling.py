"""Picks a choice's next token from the logits: the most likely one, or one sampled with the choice's own random key."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx_lm import sample_utils as library

from contract.tasks.chat import SampledRequest
from workers.toolkit.chat.constraints.masks import excluded_tokens
from workers.toolkit.chat.constraints.token_constraint import TokenConstraint
from workers.toolkit.chat.logprobs import PickedToken
from workers.toolkit.chat.sampling_settings import biases_of, settings_of


class MlxSampler:
    """Samples as the request asks, and otherwise as the model's authors recommend in generation_config.json.

    With a seed, choice `index` of a request always gets the same tokens, whatever else is in the batch. `ends` are the
    tokens that end the answer.

    The batch generators of mlx-lm and mlx-vlm have one sampler for all rows. So each row has this as its logits
    processor, which picks the token itself and masks all others. The generators work ahead: the token that was picked
    last is needed to constrain the next one before the answer has got it.
    """

    def __init__(
        self,
        request: SampledRequest,
        recommended: dict[str, Any],
        ends: frozenset[int],
        index: int,
        prompt: Sequence[int],
    ) -> None:
        settings = settings_of(request, recommended)
        self.ends = ends
        self._reported: deque[tuple[Any, Any, Any]] = deque()  # arrays: token, log probabilities, most probable tokens
        self._min_tokens = int(settings.get("min_new_tokens") or 0) if ends else 0
        self._biases = biases_of(request)
        self._top = request.reported_alternatives
        self._frequency = request.frequency_penalty or 0.0
        self._presence = request.presence_penalty or 0.0
        self._repetition = float(settings.get("repetition_penalty") or 1.0)
        self._settings = _sampling_settings(settings)
        seed = secrets.randbits(63) if request.seed is None else request.seed + index
        self._key = mx.random.key(seed % 2**63)
        self._prompt = prompt
        self.constraint: TokenConstraint | None = None
        """What the answer must keep to; set before the first token."""
        self._finite: deque[Any] = deque()  # for each token, whether its scores are numbers
        self._picked = 0  # the number of tokens
        self._last: Any = None  # the token that was picked last
        self._counts: Any = None  # (vocabulary,) how often each token occurs in the answer
        self._seen: Any = None  # (vocabulary,) whether it occurs in the prompt or the answer

    @property
    def processors(self) -> list[Any]:
        """The row's logits processors for a batch generator."""
        return [self]

    @property
    def _is_plain(self) -> bool:
        """Whether the generator's own choice is right: decoding is greedy, and nothing changes the scores."""
        penalized = self._repetition != 1 or self._frequency or self._presence
        changed = penalized or self._biases or self._min_tokens or self.constraint is not None
        return not (changed or self._settings is not None or self._top is not None)

    def take_finite(self) -> bool:
        """Whether the scores of the next token that the generator returns are numbers. Call it for each token."""
        return bool(self._finite.popleft().item())

    def take_picked(self) -> PickedToken | None:
        """The oldest token that has not been taken, with its probability; None if the request does not ask for it."""
        if not self._reported:
            return None
        token, logprobs, best = self._reported.popleft()
        top = [(int(number), logprobs[number].item()) for number in best.tolist()]
        return PickedToken(int(token.item()), logprobs[token].item(), top)

    def __call__(self, _: Any, logits: Any) -> Any:
        """Pick the next token. Returns logits (1, vocabulary) in which all other tokens are masked.

        If decoding is greedy and without penalties, returns the logits as they are.
        """
        return self._pick(logits)

    def process_last_token(self, _: int, logits: Any) -> Any:
        """Pick the next token. mlx-vlm calls this, which saves it a copy of the earlier tokens in each step."""
        return self._pick(logits)

    def _pick(self, logits: Any) -> Any:
        row = logits[0].astype(mx.float32)
        self._finite.append(mx.isfinite(mx.logsumexp(row)))
        # Before the next step, which it would otherwise have to wait for.
        mx.async_eval(self._finite[-1])  # type: ignore[no-untyped-call]
        if self._is_plain:
            return logits
        if self._seen is None:
            self._counts = mx.zeros_like(row)
            self._seen = mx.zeros(row.shape, dtype=mx.bool_)
            self._seen[mx.array(list(self._prompt))] = True
        scores, row = row, self._penalized(self._biased(row))
        if self.constraint is not None:
            row = self._constrained(row, scores, self.constraint)
        token = row.argmax() if self._settings is None else self._sample(row)
        if self._top is not None:
            best = mx.argsort(-scores)[: self._top] if self._top else mx.array([], mx.uint32)
            self._reported.append((token, scores - mx.logsumexp(scores), best))
        chosen = mx.arange(row.shape[0]) == token
        self._last, self._picked = token, self._picked + 1
        self._counts = self._counts + chosen
        self._seen = self._seen | chosen
        return mx.where(chosen, 0.0, -mx.inf)[None]

    def _constrained(self, row: Any, scores: Any, constraint: TokenConstraint) -> Any:
        if self._picked:
            constraint.advance(self._picked, int(self._last.item()))
        [tokens] = excluded_tokens([constraint], row.shape[0])
        excluded = mx.array(tokens)
        row = mx.where(excluded, -mx.inf, row)
        # What the request excludes may be all that the constraint has left, such as the end of the answer.
        return mx.where(row.max() == -mx.inf, mx.where(excluded, -mx.inf, scores), row)

    def _biased(self, row: Any) -> Any:
        """Add the request's biases, and exclude the end of an answer that is too short."""
        if self._biases:
            row = row.at[mx.array(list(self._biases))].add(mx.array(list(self._biases.values())))
        if self._picked < self._min_tokens:
            row = row.at[mx.array(sorted(self.ends))].add(-mx.inf)
        return row

    def _penalized(self, row: Any) -> Any:
        """OpenAI's penalties count the answer's tokens; the recommended repetition penalty counts the prompt's too."""
        if self._repetition != 1:
            row = mx.where(self._seen, mx.where(row < 0, row * self._repetition, row / self._repetition), row)
        return row - self._frequency * self._counts - self._presence * (self._counts > 0)

    def _sample(self, row: Any) -> Any:
        settings = self._settings or {}
        row = row / settings.get("temperature", 1.0)
        row = (row - mx.logsumexp(row))[None]
        if 0 < (top_k := int(settings.get("top_k", 0))) < row.shape[-1]:
            row = library.apply_top_k(row, top_k)
        if (top_p := settings.get("top_p", 1.0)) < 1:
            row = library.apply_top_p(row, top_p)
        if min_p := settings.get("min_p", 0.0):
            row = library.apply_min_p(row, min_p)
        self._key, key = mx.random.split(self._key)
        return mx.random.categorical(row[0], key=key)


def _sampling_settings(settings: dict[str, Any]) -> dict[str, float] | None:
    """The settings for sampling, by their names in generation_config.json; None for greedy decoding."""
    if not settings.get("do_sample"):
        return None
    names = ("temperature", "top_k", "top_p", "min_p")
    return {name: float(value) for name in names if (value := settings.get(name))}
