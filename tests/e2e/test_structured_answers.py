"""Answers in a form, over HTTP and with OpenAI's SDK, from models with random weights in both chat engines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from openai import BadRequestError, OpenAI
from pydantic import BaseModel, Field

from scripts.testbed.server import RunningServer
from tests.conftest import Models

MODELS = ("torch", "mlx")
_MESSAGES: Any = [{"role": "user", "content": "Hello"}]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: bool


class Household(BaseModel):
    """What pydantic makes of this uses references, unions and formats."""

    name: Annotated[str, Field(max_length=8)]
    since: date
    pet: Cat | Dog
    others: Annotated[list[Cat], Field(max_length=2)]
    note: Annotated[str, Field(max_length=4)] | None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Iterator[RunningServer]:
    entries: list[dict[str, Any]] = [
        {"id": "torch", "engine": "transformers_chat", "source": str(models("lm")), "options": {"threads": 1}},
        {"id": "mlx", "engine": "mlx", "source": str(models("mlx_lm"))},
    ]
    with RunningServer(tmp_path_factory.mktemp("structured"), entries) as running:
        for model in MODELS:
            running.chat(model, max_tokens=1).raise_for_status()
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> OpenAI:
    return server.client


@pytest.mark.parametrize("model", MODELS)
def test_sdk_parses_pydantic_models(model: str, client: OpenAI) -> None:
    for seed in range(2):
        answer = client.chat.completions.parse(
            model=model, messages=_MESSAGES, response_format=Household, temperature=2, seed=seed, max_tokens=2000
        )
        assert isinstance(answer.choices[0].message.parsed, Household)


@pytest.mark.parametrize("model", MODELS)
def test_sdk_parses_a_stream(model: str, client: OpenAI) -> None:
    request: Any = {"model": model, "messages": _MESSAGES, "temperature": 2, "seed": 1, "max_tokens": 2000}
    with client.chat.completions.stream(response_format=Household, **request) as stream:
        answer = stream.get_final_completion()
    assert isinstance(answer.choices[0].message.parsed, Household)


@pytest.mark.parametrize("model", MODELS)
def test_answer_warns_of_what_it_is_not_held_to(model: str, server: RunningServer) -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 1, "maxItems": 2}
    form = {"type": "json_schema", "json_schema": {"name": "flags", "schema": schema}}
    response = server.chat(model, "Hello", response_format=form, max_tokens=200)
    response.raise_for_status()
    answer = response.json()
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"]), list)
    [warning] = answer["warnings"]
    assert "uniqueItems in #" in warning


@pytest.mark.parametrize("model", MODELS)
def test_impossible_schema_is_refused_before_the_answer(model: str, client: OpenAI) -> None:
    def ask(schema: dict[str, Any], **fields: Any) -> None:
        form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        client.chat.completions.create(model=model, messages=_MESSAGES, response_format=form, **fields)

    with pytest.raises(BadRequestError, match=r"not in #"):
        ask({"not": {"type": "string"}})
    for stream in (False, True):
        with pytest.raises(BadRequestError, match="No answer can fit"):
            ask({"type": "integer", "minimum": 2, "maximum": 1}, stream=stream)
