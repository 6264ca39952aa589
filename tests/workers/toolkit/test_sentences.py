"""Texts are split where a reader would pause, and no sentence is too long for a model."""

from __future__ import annotations

import pytest

from workers.toolkit.speech.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ("Dr. Smith paid 3.50 dollars. Then he left.", ["Dr. Smith paid 3.50 dollars.", "Then he left."]),
        ('"Is it?" she asked... "Yes." He nodded.', ['"Is it?" she asked...', '"Yes."', "He nodded."]),
        ("Das ist z.B. ein Satz. Äpfel auch.", ["Das ist z.B. ein Satz.", "Äpfel auch."]),
        ("A heading\n\nA line\nand the next", ["A heading", "A line", "and the next"]),
        ("你好。今天好吗？很好！", ["你好。", "今天好吗？", "很好！"]),
        ("J. R. R. Tolkien wrote it.", ["J. R. R. Tolkien wrote it."]),
        ("  \n ", []),
    ],
)
def test_splits_where_a_reader_would_pause(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_long_sentences_are_split_at_commas_then_at_spaces() -> None:
    assert sentences("one two, three four five", longest=12) == ["one two,", "three four", "five"]
    assert sentences("x" * 25, longest=10) == ["x" * 10, "x" * 10, "x" * 5]


@pytest.mark.parametrize("text", ["a" * 5000, "word, " * 900, "One. Two words. " * 300, "!" * 3000, "a.b. C" * 700])
def test_nothing_but_white_space_is_lost(text: str) -> None:
    parts = sentences(text)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert max(map(len, parts)) <= 400
