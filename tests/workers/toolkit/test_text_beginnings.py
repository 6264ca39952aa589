"""Beginnings of texts: the tokens of a beginning are the text's first ones, whatever follows, for every tokenizer."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tokenizer_kinds import KINDS, texts
from workers.toolkit.text_beginnings import TextBeginnings
from workers.toolkit.tokenizer_breaks import certain_break

_WORDS = ["a", "Word", "the", "don't", "1234", "ß", "é", "e\u0301", "\u0301", "Σ", "ﬁ", "Й", "й", "日本", "が"]
_OTHERS = ["か\u3099", "한국", "，", "。", ".", "!", "'", "_", "/", "\\", "▁", "Ġ", "👩\u200d👩", "\u0e33"]
_SPACES = [" ", " ", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2028", "\x00"]
_PIECES = st.sampled_from([*_WORDS, *_OTHERS, *_SPACES, "\u200d", "x" * 25, "<s>", "</s>", "<|endoftext|>", "<|"])
_TEXTS = st.lists(_PIECES | st.characters(), max_size=40).map("".join)


@cache
def tokenizer_of(kind: str) -> Any:
    return KINDS[kind]()


def tokens(tokenizer: Any, text: str, **arguments: Any) -> list[int]:
    ids: list[int] = tokenizer(text, verbose=False, **arguments)["input_ids"]
    return ids


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, deadline=None)
@given(text=_TEXTS)
def test_what_follows_a_break_changes_no_token_before(kind: str, text: str) -> None:
    tokenizer = tokenizer_of(kind)
    pattern = certain_break(tokenizer)
    assert pattern is not None
    whole = tokens(tokenizer, text, add_special_tokens=False)
    for place in pattern.finditer(text):
        before = tokens(tokenizer, text[: place.start()], add_special_tokens=False)
        assert whole[: len(before)] == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_text_is_truncated_to_the_same_tokens(kind: str) -> None:
    tokenizer, text = tokenizer_of(kind), "\n".join(texts())
    cut = {"truncation": True, "max_length": 64}
    beginning = TextBeginnings(tokenizer).beginning(text, 64)
    assert len(beginning) < len(text) / 20
    assert text.startswith(beginning)
    assert tokens(tokenizer, beginning, **cut) == tokens(tokenizer, text, **cut)
    assert len(tokens(tokenizer, beginning)) > 64


@pytest.mark.parametrize(
    "text", ["short", "x" * 10_000, " " * 10_000, "a " + " " * 10_000, "日本。" * 3000], ids=lambda text: text[:4]
)
def test_other_texts_stay_whole(text: str) -> None:
    assert TextBeginnings(tokenizer_of("word_piece")).beginning(text, 64) == text
    assert TextBeginnings(tokenizer_of("word_piece")).beginning(text, None) == text


def test_words_without_bound_are_counted_as_they_are() -> None:
    """Each is one unknown token, so a beginning has many more characters than usual."""
    text = f"{'x' * 500} " * 1000
    beginning = TextBeginnings(tokenizer_of("word_piece")).beginning(text, 64)
    assert len(beginning) < len(text)
    assert len(tokens(tokenizer_of("word_piece"), beginning, add_special_tokens=False)) > 64


def test_a_beginning_is_longer_than_what_precedes_the_text() -> None:
    text = "some words " * 10_000
    beginning = TextBeginnings(tokenizer_of("word_piece")).beginning(text, 8, after=5_000)
    assert 5_000 < len(beginning) < len(text)


def _from_the_left(tokenizer: Any) -> None:
    tokenizer.truncation_side = "left"


def _across(tokenizer: Any) -> None:
    tokenizer.add_tokens(["two words"])


def _unknown_words(tokenizer: Any) -> None:
    from tokenizers import Regex, pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+ \w+|\s+"), "isolated")


def _joined_words(tokenizer: Any) -> None:
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(use_regex=False)


def _lost_spaces(tokenizer: Any) -> None:
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(" ", "")


@pytest.mark.parametrize("change", [_from_the_left, _across, _unknown_words, _joined_words, _lost_spaces])
def test_nothing_is_certain_of_other_tokenizers(change: Any) -> None:
    tokenizer = KINDS["gpt2"]()
    change(tokenizer)
    assert certain_break(tokenizer) is None
    assert TextBeginnings(tokenizer).beginning("some words " * 1000, 8) == "some words " * 1000


def test_nothing_is_certain_without_a_tokenizer_of_the_library() -> None:
    assert certain_break(None) is None
