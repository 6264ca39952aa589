"""Streamed text has whole characters only and nothing of a stop string, however it is split into tokens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.toolkit.chat.detokenizer import Detokenizer, StopStrings

TEXTS = ["plain words", "가나다 한국어", "e\u0301 cafe\u0301", "👩‍👩‍👧‍👦 and 🇰🇷!", "mixed é한🎉\u200d", "a\ufffdb"]


def as_bytes(tokens: list[int]) -> str:
    """A tokenizer for which each byte is a token."""
    return bytes(tokens).decode(errors="replace")


def fallback(tokens: list[int]) -> str:
    """Decodes as sentencepiece does: if not all bytes of a run are valid, each of them shows as unknown."""
    try:
        return bytes(tokens).decode()
    except UnicodeDecodeError:
        return "\ufffd" * len(tokens)


def spaced(tokens: list[int]) -> str:
    """Decodes as sentencepiece does: a token's leading space shows only after another token."""
    return "".join(f" {chr(token)}" for token in tokens).removeprefix(" ")


def pieces(decode: Any, tokens: list[int]) -> list[str]:
    detokenizer = Detokenizer(decode)
    return [*(detokenizer.push(token) for token in tokens), detokenizer.flush()]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("decode", [as_bytes, fallback])
def test_characters_are_not_split(text: str, decode: Any) -> None:
    streamed = pieces(decode, list(text.encode()))
    assert "".join(streamed) == text
    assert all("\ufffd" not in piece for piece in streamed) or "\ufffd" in text


def test_character_is_sent_as_soon_as_it_is_complete() -> None:
    assert pieces(as_bytes, list("한a".encode())) == ["", "", "한", "a", ""]


def test_spaces_between_tokens_are_kept() -> None:
    assert pieces(spaced, [ord("a"), ord("b"), ord("c")]) == ["a", " b", " c", ""]


@given(st.binary(max_size=40))
def test_no_byte_is_lost(content: bytes) -> None:
    assert "".join(pieces(as_bytes, list(content))) == content.decode(errors="replace")


def test_unfinished_character_is_sent_at_the_end() -> None:
    assert "".join(pieces(as_bytes, list("ab한".encode())[:-1])) == "ab\ufffd"


def stopped(strings: list[str], parts: list[str]) -> tuple[str, bool]:
    """The text that is passed on, and whether a stop string occurred."""
    stops = StopStrings(strings)
    passed = "".join(stops.push(part) for part in parts)
    return passed + stops.flush(), stops.is_matched


def test_stop_string_across_pieces_is_removed() -> None:
    stops = StopStrings(["END"])
    assert [stops.push(part) for part in ["some E", "N", "D more", "!"]] == ["some ", "", "", ""]
    assert stops.matched == "END"


def test_beginning_of_a_stop_string_alone_is_passed_on() -> None:
    stops = StopStrings(["END"])
    assert [stops.push(part) for part in ["E", "N", "E", "x"]] == ["", "", "EN", "Ex"]
    assert stops.flush() == ""
    assert stopped(["END"], ["the EN"]) == ("the EN", False)


def test_stop_string_that_ends_first_counts() -> None:
    assert stopped(["abc", "b"], ["xabc"]) == ("xa", True)
    assert stopped(["abc", "b"], ["x", "a", "b", "c"]) == ("xa", True)


@given(
    st.text("abE", max_size=30),
    st.lists(st.text("abE", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(1, 5)),
)
def test_split_into_pieces_makes_no_difference(text: str, stops: list[str], lengths: list[int]) -> None:
    parts, rest = [], text
    for length in lengths:
        parts.append(rest[:length])
        rest = rest[length:]
    assert stopped(stops, [*parts, rest]) == stopped(stops, [text])
    passed, is_matched = stopped(stops, [text])
    assert is_matched == any(stop in text for stop in stops)
    assert not any(stop in passed for stop in stops)
