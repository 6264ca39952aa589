"""Tokens of texts and conversations equal the library's own, and are read beside answers at work."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoTokenizer

from contract.tasks.detokenize import DETOKENIZE
from contract.tasks.tokenize import TOKENIZE
from tests.conftest import Models
from tests.support import chat_engines
from workers.engine import Call

TEXT = "Grüß Gott, 안녕!"


@pytest.fixture(scope="module")
def engine(models: Models) -> Any:
    return chat_engines.load(models("lm"), "transformers_chat")


@pytest.fixture(scope="module")
def tokenizer(models: Models) -> Any:
    return AutoTokenizer.from_pretrained(models("lm"))


def tokenized(engine: Any, **body: Any) -> Any:
    [(_, answer)] = engine.tokenize([Call(TOKENIZE.request(**body))])
    return answer


def test_text_has_the_librarys_tokens(engine: Any, tokenizer: Any) -> None:
    answer = tokenized(engine, prompt=TEXT, return_token_strs=True)
    assert answer.tokens == tokenizer(TEXT)["input_ids"]
    assert answer.token_strs == tokenizer.convert_ids_to_tokens(answer.tokens)
    assert (answer.count, answer.max_model_len) == (len(answer.tokens), engine.facts().context_length)
    plain = tokenized(engine, prompt=TEXT, add_special_tokens=False)
    assert plain.tokens == tokenizer(TEXT, add_special_tokens=False)["input_ids"]


def test_conversation_has_the_tokens_of_its_prompt(engine: Any, tokenizer: Any) -> None:
    messages = [{"role": "user", "content": TEXT}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    assert tokenized(engine, messages=messages).tokens == prompt["input_ids"]


def test_text_of_tokens_is_the_text(engine: Any, tokenizer: Any) -> None:
    tokens = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    [(_, answer)] = engine.detokenize([Call(DETOKENIZE.request(tokens=tokens))])
    assert answer.prompt == answer.content == TEXT


def test_tokenizer_is_not_the_one_of_the_running_batch(engine: Any) -> None:
    reader = engine._tokens
    assert reader._encoder._tokenizer is not engine._loaded.tokenizer
