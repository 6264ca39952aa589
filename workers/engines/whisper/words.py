"""The times of words, from those of tokens that transformers finds in a model's attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contract.tasks.transcription import TranscriptWord

_WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue", "chinese", "japanese", "thai", "lao", "burmese"})
"""Languages that write no spaces between words: each of their characters counts as one."""
_HALF_CHARACTER = "\N{REPLACEMENT CHARACTER}"


def words_of(
    segment: Mapping[str, Any], tokenizer: Any, first_timestamp: int, language: str, seconds: float
) -> list[TranscriptWord]:
    """The words of a segment, with their times in seconds from the window's start; none after `seconds`, its end.

    The segment is one of `generate(return_segments=True)`. Without times of tokens there are no words.
    """
    times = segment.get("token_timestamps")
    if times is None:
        return []
    starts = [min(float(time), seconds) for time in times]
    ends = [*starts[1:], min(float(segment["end"]), seconds)]
    special = set(tokenizer.all_special_ids)
    spoken = [
        (token, start, end)
        for token, start, end in zip(segment["tokens"].tolist(), starts, ends, strict=True)
        if token < first_timestamp and token not in special
    ]
    return [
        TranscriptWord(word=text.strip(), start=parts[0][1], end=max(parts[-1][2], parts[0][1]))
        for text, parts in _grouped(spoken, tokenizer, split_all=language in _WITHOUT_SPACES)
        if text.strip()
    ]


_Timed = tuple[int, float, float]
"""A token with its start and end."""


def _grouped(spoken: Sequence[_Timed], tokenizer: Any, *, split_all: bool) -> Iterator[tuple[str, list[_Timed]]]:
    """Words with their tokens. Punctuation, which has no space before it, belongs to the word before it."""
    text = ""
    word: list[_Timed] = []
    for piece, tokens in _characters(spoken, tokenizer):
        begins = piece[:1].isspace() or (split_all and piece[:1].isalnum())
        if begins and word:
            yield text, word
            text, word = "", []
        text += piece
        word += tokens
    if word:
        yield text, word


def _characters(spoken: Sequence[_Timed], tokenizer: Any) -> Iterator[tuple[str, list[_Timed]]]:
    """Pieces of text of whole characters, each with the tokens that it consists of."""
    tokens: list[_Timed] = []
    for timed in spoken:
        tokens.append(timed)
        piece = tokenizer.decode([token for token, _, _ in tokens])
        if _HALF_CHARACTER not in piece:
            yield piece, tokens
            tokens = []
    if tokens:
        yield tokenizer.decode([token for token, _, _ in tokens]), tokens
