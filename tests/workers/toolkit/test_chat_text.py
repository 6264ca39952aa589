"""Text comes out in whole characters and never shows a part of a stop text, wherever the tokens' borders lie."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.toolkit.chat.text import Detokenizer, Stops

TEXTS = ["plain words", "가나다 한국어", "e\u0301 cafe\u0301", "👩‍👩‍👧‍👦 and 🇰🇷!", "mixed é한🎉\u200d", "a\ufffdb"]


def as_bytes(tokens: list[int]) -> str:
    """A tokenizer for which each byte is a token."""
    return bytes(tokens).decode(errors="replace")


def fallback(tokens: list[int]) -> str:
    """As sentencepiece does it: of a run of bytes that is not all valid, every byte shows as unknown."""
    try:
        return bytes(tokens).decode()
    except UnicodeDecodeError:
        return "\ufffd" * len(tokens)


def spaced(tokens: list[int]) -> str:
    """As sentencepiece does it: a token's leading space shows only after another token."""
    return "".join(f" {chr(token)}" for token in tokens).removeprefix(" ")


def pieces(decode: Any, tokens: list[int]) -> list[str]:
    detokenizer = Detokenizer(decode)
    return [*(detokenizer.push(token) for token in tokens), detokenizer.flush()]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("decode", [as_bytes, fallback])
def test_characters_come_whole(text: str, decode: Any) -> None:
    got = pieces(decode, list(text.encode()))
    assert "".join(got) == text
    assert all("\ufffd" not in piece for piece in got) or "\ufffd" in text


def test_each_character_comes_as_soon_as_it_is_whole() -> None:
    got = pieces(as_bytes, list("한a".encode()))
    assert got == ["", "", "한", "a", ""]


def test_spaces_between_tokens_are_kept() -> None:
    assert pieces(spaced, [ord("a"), ord("b"), ord("c")]) == ["a", " b", " c", ""]


@given(st.binary(max_size=40))
def test_no_byte_is_lost_whatever_the_model_says(content: bytes) -> None:
    assert "".join(pieces(as_bytes, list(content))) == content.decode(errors="replace")


def test_an_unfinished_character_shows_at_the_end() -> None:
    assert "".join(pieces(as_bytes, list("ab한".encode())[:-1])) == "ab\ufffd"


def stopped(stops: list[str], parts: list[str]) -> tuple[str, bool]:
    filter_ = Stops(stops)
    out = "".join(filter_.push(part) for part in parts)
    return out + filter_.flush(), filter_.found


def test_a_stop_text_across_borders_never_shows() -> None:
    stops = Stops(["END"])
    assert [stops.push(part) for part in ["some E", "N", "D more", "!"]] == ["some ", "", "", ""]
    assert stops.found


def test_what_only_looked_like_a_stop_text_comes_out() -> None:
    stops = Stops(["END"])
    assert [stops.push(part) for part in ["E", "N", "E", "x"]] == ["", "", "EN", "Ex"]
    assert stops.flush() == ""
    assert stopped(["END"], ["the EN"]) == ("the EN", False)


def test_of_two_stop_texts_the_one_that_is_complete_first_counts() -> None:
    assert stopped(["abc", "b"], ["xabc"]) == ("xa", True)
    assert stopped(["abc", "b"], ["x", "a", "b", "c"]) == ("xa", True)


@given(
    st.text("abE", max_size=30),
    st.lists(st.text("abE", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(1, 5)),
)
def test_the_pieces_make_no_difference(text: str, stops: list[str], lengths: list[int]) -> None:
    parts, rest = [], text
    for length in lengths:
        parts.append(rest[:length])
        rest = rest[length:]
    assert stopped(stops, [*parts, rest]) == stopped(stops, [text])
    out, found = stopped(stops, [text])
    assert found == any(stop in text for stop in stops)
    assert not any(stop in out for stop in stops)
