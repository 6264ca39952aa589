"""The logits processors that a request asks for, or a model's authors recommend, applied as `generate` does it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers.generation import logits_process as library

log = logging.getLogger(__name__)

Processors = Callable[[Any, Any], Any]
"""Changes scores (1, vocabulary), given a row's tokens (1, tokens)."""

_NOT_APPLIED = (
    "sequence_bias",
    "guidance_scale",
    "encoder_repetition_penalty",
    "encoder_no_repeat_ngram_size",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "exponential_decay_length_penalty",
    "watermarking_config",
    "top_h",
)
"""Settings of a generation configuration that change the scores and are not applied. No known chat model has them."""


def warn_of_ignored(recommended: Mapping[str, Any]) -> None:
    """Log the recommended settings that are not applied."""
    if ignored := [name for name in _NOT_APPLIED if recommended.get(name) not in (None, 1, 1.0)]:
        log.warning("settings in generation_config.json that are not applied: %s", ", ".join(ignored))


def processors_of(
    settings: Mapping[str, Any], biases: Mapping[int, float], length: int, ends: Sequence[int], device: Any
) -> Processors | None:
    """The processors for an answer's settings, in the order of `generate`, or None if they need none.

    `biases` are added to the scores of tokens. `length` is the length of the row's prompt, in tokens; `ends` are the
    tokens that end the answer.
    """
    processors = (
        [library.SequenceBiasLogitsProcessor({(token,): bias for token, bias in biases.items()})] if biases else []
    )
    processors += [*_of_penalties(settings), *_of_lengths(settings, length, ends, device)]
    processors += _of_lists(settings, length, ends, device)
    return library.LogitsProcessorList(processors) if processors else None


def _of_penalties(settings: Mapping[str, Any]) -> list[Any]:
    processors: list[Any] = []
    if (penalty := float(settings.get("repetition_penalty") or 1)) != 1:
        processors.append(library.RepetitionPenaltyLogitsProcessor(penalty))
    if size := int(settings.get("no_repeat_ngram_size") or 0):
        processors.append(library.NoRepeatNGramLogitsProcessor(size))
    return processors


def _of_lengths(settings: Mapping[str, Any], length: int, ends: Sequence[int], device: Any) -> list[Any]:
    processors: list[Any] = []
    if ends and (tokens := int(settings.get("min_length") or 0)):
        processors.append(library.MinLengthLogitsProcessor(tokens, list(ends), device=device))
    if ends and (tokens := int(settings.get("min_new_tokens") or 0)):
        processors.append(library.MinNewTokensLengthLogitsProcessor(length, tokens, list(ends), device=device))
    return processors


def _of_lists(settings: Mapping[str, Any], length: int, ends: Sequence[int], device: Any) -> list[Any]:
    processors: list[Any] = []
    if words := settings.get("bad_words_ids"):
        processors.append(library.NoBadWordsLogitsProcessor(words, list(ends)))
    if settings.get("remove_invalid_values"):
        processors.append(library.InfNanRemoveLogitsProcessor())
    if tokens := settings.get("suppress_tokens"):
        processors.append(library.SuppressTokensLogitsProcessor(tokens, device=device))
    if tokens := settings.get("begin_suppress_tokens"):
        processors.append(library.SuppressTokensAtBeginLogitsProcessor(tokens, length, device=device))
    return processors
