"""Finding out how a model fills in the middle of a text."""

from __future__ import annotations

from typing import Any

import pytest

from workers.toolkit.chat.fill_in_middle import find_fill_in_middle


class Vocabulary:
    def __init__(self, *tokens: str) -> None:
        self._tokens = tokens

    def get_vocab(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self._tokens)}


@pytest.mark.parametrize(
    ("tokens", "prompt"),
    [
        (("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|endoftext|>"), [0, 7, 1, 8, 2]),
        (("[PREFIX]", "[SUFFIX]"), [1, 8, 0, 7]),
    ],
)
def test_finds_the_form_in_the_vocabulary(tokens: Any, prompt: list[int]) -> None:
    form = find_fill_in_middle(Vocabulary(*tokens))
    assert form is not None
    assert form.tokens([7], [8]) == prompt
    assert form.ends == ({3} if len(tokens) > 3 else set())


def test_other_vocabularies_have_none() -> None:
    assert find_fill_in_middle(Vocabulary("<|fim_prefix|>", "<|im_start|>")) is None
