"""What a model's authors want done to the scores in view of a row's tokens, as transformers does it in `generate`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers.generation import logits_process as library

log = logging.getLogger(__name__)

Processors = Callable[[Any, Any], Any]
"""Changes scores (1, vocabulary) in view of a row's tokens (1, tokens)."""

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
"""Settings of a generation configuration that change the scores, and that no chat model is known to come with."""


def warn_of_ignored(recommended: Mapping[str, Any]) -> None:
    """Write into the log which of the authors' settings are not applied."""
    if ignored := [name for name in _NOT_APPLIED if recommended.get(name) not in (None, 1, 1.0)]:
        log.warning("settings in generation_config.json that are not applied: %s", ", ".join(ignored))


def processors_of(recommended: Mapping[str, Any], length: int, ends: Sequence[int], device: Any) -> Processors | None:
    """What `recommended`, the authors' settings, asks for; None: nothing.

    `length` is that of the row's prompt in tokens, `ends` are the tokens that end an answer.
    """
    made = [*_of_penalties(recommended), *_of_lengths(recommended, length, ends, device)]
    made += _of_lists(recommended, length, ends, device)
    return library.LogitsProcessorList(made) if made else None


def _of_penalties(recommended: Mapping[str, Any]) -> list[Any]:
    made: list[Any] = []
    if (penalty := float(recommended.get("repetition_penalty") or 1)) != 1:
        made.append(library.RepetitionPenaltyLogitsProcessor(penalty))
    if size := int(recommended.get("no_repeat_ngram_size") or 0):
        made.append(library.NoRepeatNGramLogitsProcessor(size))
    return made


def _of_lengths(recommended: Mapping[str, Any], length: int, ends: Sequence[int], device: Any) -> list[Any]:
    made: list[Any] = []
    if ends and (tokens := int(recommended.get("min_length") or 0)):
        made.append(library.MinLengthLogitsProcessor(tokens, list(ends), device=device))
    if ends and (tokens := int(recommended.get("min_new_tokens") or 0)):
        made.append(library.MinNewTokensLengthLogitsProcessor(length, tokens, list(ends), device=device))
    return made


def _of_lists(recommended: Mapping[str, Any], length: int, ends: Sequence[int], device: Any) -> list[Any]:
    made: list[Any] = []
    if words := recommended.get("bad_words_ids"):
        made.append(library.NoBadWordsLogitsProcessor(words, list(ends)))
    if recommended.get("remove_invalid_values"):
        made.append(library.InfNanRemoveLogitsProcessor())
    if tokens := recommended.get("suppress_tokens"):
        made.append(library.SuppressTokensLogitsProcessor(tokens, device=device))
    if tokens := recommended.get("begin_suppress_tokens"):
        made.append(library.SuppressTokensAtBeginLogitsProcessor(tokens, length, device=device))
    return made
