"""Tests of answers that are held to a form, the same for every chat engine. Its weights are random.

An engine's test file imports everything from here.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contract.errors import InvalidField, ServeError, UnsupportedFeature
from contract.tasks.chat import ChatChunk
from scripts.testbed.torture_schemas import TORTURE
from tests.support.batching import feed_of
from tests.support.chat_engines import ask, request, run, text, whole
from tests.support.chat_requests import ChatEngine
from workers.engine import Call

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["name", "born", "tags"],
    "additionalProperties": False,
}
_WILD = {"temperature": 2, "top_p": 1, "max_tokens": 2000}


@pytest.fixture
def engine(chat_engine: ChatEngine) -> Any:
    return chat_engine("lm")


def as_json(schema: Any, *, strict: bool = True) -> dict[str, Any]:
    """The field that asks for JSON of a schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": strict}}


def test_answers_of_random_weights_fit_their_schema(engine: Any) -> None:
    schemas = [schema for name, schema in TORTURE.items() if name in _FEW]
    requests = [
        request("Hello", response_format=as_json(schema), seed=seed, **_WILD) for seed in range(2) for schema in schemas
    ]
    for schema, pieces in zip(2 * schemas, run(engine, *requests), strict=True):
        answer = whole(pieces)
        assert answer.choices[0].finish_reason == "stop"
        Draft202012Validator(schema).validate(json.loads(text(answer)))


_FEW = ("union", "one of several kinds", "unicode", "patterns", "scalar", "map", "bounds of arrays")


@pytest.mark.parametrize("temperature", [0, 2])
def test_constrained_request_does_not_change_others(temperature: float, engine: Any) -> None:
    """Requests with and without a form share steps; each gets the answer that it would get alone."""
    held = request("Hello", response_format=as_json(PERSON), seed=5, **{**_WILD, "temperature": temperature})
    free = request("Hello", temperature=1, seed=7, max_tokens=40)
    greedy = request("Hi", max_tokens=60)
    together = [text(whole(pieces)) for pieces in run(engine, free, held, greedy)]
    assert together == [text(whole(run(engine, item)[0])) for item in (free, held, greedy)]
    Draft202012Validator(PERSON).validate(json.loads(together[1]))


def test_every_choice_fits_and_differs(engine: Any) -> None:
    answer = ask(engine, "Hello", n=3, seed=1, response_format=as_json(PERSON), **_WILD)
    texts = [text(answer, index) for index in range(3)]
    for content in texts:
        Draft202012Validator(PERSON).validate(json.loads(content))
    assert len(set(texts)) == 3


def test_streamed_form_joins_to_the_whole(engine: Any) -> None:
    pieces = run(engine, request("Hello", response_format=as_json(TORTURE["unicode"]), seed=3, **_WILD))[0]
    texts = [choice.delta.content or "" for p in pieces if isinstance(p, ChatChunk) for choice in p.choices]
    assert "".join(texts) == text(whole(pieces))
    assert not any("\ufffd" in piece for piece in texts)
    assert len(texts) > 10


def test_complete_form_ends_the_answer(engine: Any) -> None:
    """It needs no token that says so, and no token more than that."""
    answer = ask(engine, "Hello", response_format=as_json({"const": "ab"}), max_tokens=4)
    assert (text(answer), answer.choices[0].finish_reason) == ('"ab"', "stop")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


def test_limit_cuts_a_form(engine: Any) -> None:
    answer = ask(engine, "Hello", response_format=as_json(PERSON), max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert len(text(answer)) <= 3


def test_stop_string_ends_a_form(engine: Any) -> None:
    answer = ask(engine, "Hello", response_format=as_json({"const": "abcdef"}), stop=["d"])
    assert (text(answer), answer.choices[0].finish_reason) == ('"abc', "stop")


@pytest.mark.parametrize("options", [{"frequency_penalty": 2, "presence_penalty": 2}, {"top_p": 1e-6}])
def test_sampling_options_keep_the_form(options: dict[str, float], engine: Any) -> None:
    answer = ask(engine, "Hello", response_format=as_json(PERSON), seed=2, **{**_WILD, **options})
    Draft202012Validator(PERSON).validate(json.loads(text(answer)))


@pytest.mark.parametrize(
    "form",
    [
        {"type": "json_object", "schema": PERSON},
        {"type": "json_object", "value": PERSON},
        {"type": "json_schema", "schema": PERSON},
        {"type": "json_schema", "json_schema": {"schema": PERSON}},
    ],
)
def test_schema_may_be_in_several_places(form: dict[str, Any], engine: Any) -> None:
    answer = ask(engine, "Hello", response_format=form, seed=4, **_WILD)
    Draft202012Validator(PERSON).validate(json.loads(text(answer)))


def test_json_object_is_an_object(engine: Any) -> None:
    answer = ask(engine, "Hello", response_format={"type": "json_object"}, temperature=2, seed=1, max_tokens=60)
    assert text(answer).startswith("{")
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(text(answer)), dict)


def test_text_is_free(engine: Any) -> None:
    free = text(ask(engine, "Hello"))
    assert text(ask(engine, "Hello", response_format={"type": "text"})) == free


def test_unheld_keyword_of_a_strict_schema_is_refused(engine: Any) -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "maxItems": 2}
    with pytest.raises(UnsupportedFeature, match="uniqueItems"):
        ask(engine, "Hello", response_format=as_json(schema))
    call = Call(request("Hello", response_format=as_json(schema, strict=False), max_tokens=60))
    pieces = [piece for _, piece in engine.chat(feed_of([call]))]
    assert isinstance(json.loads(text(whole(pieces))), list)
    assert ["uniqueItems" in warning for warning in call.warnings] == [True]


def test_schema_that_does_not_compile_fails_alone(engine: Any) -> None:
    broken = request("Hello", response_format=as_json({"type": "string", "pattern": "("}))
    free = request("Hello", max_tokens=30)
    bad, good = run(engine, broken, free)
    assert [type(piece) for piece in bad] == [InvalidField]
    assert isinstance(bad[0], ServeError)
    assert bad[0].param == "response_format"
    assert text(whole(good)) == text(ask(engine, "Hello", max_tokens=30))


def test_cancelled_form_leaves_others_alone(engine: Any) -> None:
    held = Call(request("Hello", response_format=as_json(TORTURE["nested"]), **_WILD))
    free = Call(request("Hello", max_tokens=40))
    pieces: list[Any] = []
    for call, piece in engine.chat(feed_of([held, free])):
        if call is held and held.done >= 3:
            held.cancel()
        elif call is free:
            pieces.append(piece)
    assert text(whole(pieces)) == text(ask(engine, "Hello", max_tokens=40))
