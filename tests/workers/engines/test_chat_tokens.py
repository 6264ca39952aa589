"""Tokens of texts and conversations equal the library's own, and are read beside answers at work."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoTokenizer

from contract.errors import InvalidField
from contract.tasks.detokenize import DETOKENIZE
from contract.tasks.tokenize import TOKENIZE
from tests.conftest import Models
from tests.support import chat_engines
from workers.engine import Call

TEXT = "Grüß Gott, 안녕!"


MODELS = [
    ("transformers_chat", "lm"),
    ("mlx", "mlx_lm"),
    ("mlx", "mlx_qwen2_5_vl"),
    ("transformers_chat", "qwen2_5_vl"),
]


@pytest.fixture(scope="module", params=MODELS, ids="-".join)
def model(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def engine(models: Models, model: tuple[str, str]) -> Any:
    return chat_engines.load(models(model[1]), model[0])


@pytest.fixture(scope="module")
def tokenizer(models: Models, model: tuple[str, str]) -> Any:
    return AutoTokenizer.from_pretrained(models(model[1]))


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
    is_mlx = hasattr(engine, "_chat")
    reader, own = (engine._chat.tokens, engine._chat.loaded) if is_mlx else (engine._tokens, engine._loaded)
    assert reader._prompts._tokenizer is not own.tokenizer


def test_images_are_counted_as_the_chat_counts_them(engine: Any) -> None:
    if "images" not in engine.loaded_features():
        pytest.skip("a model without vision")
    content = chat_engines.with_images("What is this?", chat_engines.drawn_image())
    usage = chat_engines.ask(engine, content, max_tokens=1).usage
    assert usage is not None
    answer = tokenized(engine, messages=[{"role": "user", "content": content}])
    assert answer.count == len(answer.tokens) == usage.prompt_tokens


def test_unknown_token_is_refused_by_name(engine: Any) -> None:
    [(_, error)] = engine.detokenize([Call(DETOKENIZE.request(tokens=[1, 10**6]))])
    assert isinstance(error, InvalidField)
    assert error.param == "tokens"
