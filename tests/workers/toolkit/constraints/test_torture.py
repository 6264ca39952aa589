"""Tests that every answer fits its schema, whatever tokens are drawn."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from scripts.e2e import torture
from scripts.testbed.torture_schemas import TORTURE
from tests.support import constraints
from workers.toolkit.chat.constraints import grammar, schemas
from workers.toolkit.chat.constraints.compiler import GrammarCompiler

_ANSWERS = 4
"""The number of answers to each schema. `make e2e` draws a thousand, from a model."""


@pytest.fixture(scope="module")
def tokens() -> Any:
    return constraints.tokenizer()


@pytest.fixture(scope="module")
def compiler(tokens: Any) -> GrammarCompiler:
    return constraints.compiler(tokens)


@pytest.mark.parametrize("name", TORTURE)
def test_random_answers_fit_their_schema(name: str, tokens: Any, compiler: GrammarCompiler) -> None:
    schema = TORTURE[name]
    prepared = schemas.prepare(schema, strict=True, field="response_format")
    assert prepared.loosened == []
    for seed in range(1 if len(json.dumps(schema)) > 9999 else _ANSWERS):
        answer = constraints.written(compiler, tokens, grammar.json_value(prepared.schema), seed)
        assert answer is not None
        validator_for(schema, Draft202012Validator)(schema).validate(json.loads(answer))


@pytest.mark.e2e
@pytest.mark.timeout(3600)
def test_a_thousand_answers_of_a_model_fit() -> None:
    assert torture.main(["1000"]) == 0
