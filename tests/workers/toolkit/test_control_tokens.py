"""Which tokens of a tokenizer count as control tokens, and stay text in a user's message."""

from __future__ import annotations

from typing import Any

import pytest

import workers.toolkit.torchvision_shim  # noqa: F401  (before transformers)
from workers.toolkit.chat.control_tokens import Guard

TEMPLATE = "<|user|>{{ text }}. <think>"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A tokenizer whose words include `.`, which was also added to it, as some demo and converted models have it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["[UNK]", "hello", ".", "<", ">", "|", "user", "think"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    made.add_tokens([".", "<think>"])
    made.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    return made


def test_added_words_are_no_control_tokens(tokenizer: Any) -> None:
    guard = Guard(tokenizer, TEMPLATE)
    assert guard.hide("hello.") == "hello."
    assert guard.encode("hello.", add_special_tokens=False) == tokenizer.convert_tokens_to_ids(["hello", "."])


@pytest.mark.parametrize("token", ["<|user|>", "<think>"])
def test_tokens_that_are_special_or_in_the_template_become_text(tokenizer: Any, token: str) -> None:
    guard = Guard(tokenizer, TEMPLATE)
    hidden = guard.hide(f"hello {token}")
    assert token not in hidden
    assert tokenizer.convert_tokens_to_ids(token) not in guard.encode(hidden, add_special_tokens=False)
