"""Tests of answers that are held to a form, the same for every chat engine. Its weights are random.

An engine's test file imports everything from here.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contract.errors import InvalidField, ServeError, UnsupportedFeature
from contract.tasks.chat import ChatChunk
from scripts.testbed.torture_schemas import TORTURE
from tests.support.batching import feed_of
from tests.support.chat_engines import ask, request, run, text, whole
from tests.support.chat_requests import ChatEngine
from workers.engine import Call, Feed
from workers.toolkit.chat.constraints.compiler import GrammarCompiler
from workers.toolkit.chat.constraints.grammar import Grammar

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


_ENUM = {"enum": ["ab", 7]}


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({"guided_json": _ENUM}, '"ab"|7'),
        ({"guided_json": json.dumps(_ENUM)}, '"ab"|7'),
        ({"json_schema": _ENUM}, '"ab"|7'),
        ({"structured_outputs": {"json": _ENUM}}, '"ab"|7'),
        ({"grammar": {"type": "json", "value": _ENUM}}, '"ab"|7'),
        ({"guided_choice": ["yes", 'the "no"', "<|im_end|>"]}, 'yes|the "no"|<[|]im_end[|]>'),
        ({"structured_outputs": {"choice": ["é", "ü"]}}, "é|ü"),
        ({"guided_regex": "[ab]{3}-[0-9]"}, "[ab]{3}-[0-9]"),
        ({"regex": "^[ab]{3}$"}, "[ab]{3}"),
        ({"grammar": {"type": "regex", "value": "[ab]{3}"}}, "[ab]{3}"),
        ({"grammar": 'root ::= "x" y{2}\ny ::= [0-9]'}, "x[0-9]{2}"),
        ({"ebnf": 'root ::= "x" | "yz"'}, "x|yz"),
        ({"guided_grammar": 'start: "x" Y\nY: /[0-9]{2}/'}, "x[0-9]{2}"),
    ],
)
def test_forms_of_other_servers_are_held(fields: dict[str, Any], pattern: str, engine: Any) -> None:
    answer = ask(engine, "Hello", seed=1, **_WILD, **fields)
    assert answer.choices[0].finish_reason == "stop"
    assert re.fullmatch(pattern, text(answer))


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"guided_regex": "a", "guided_choice": ["b"]}, "guided_choice", "only one of guided_regex, guided_choice"),
        ({"response_format": {"type": "json_object"}, "regex": "a"}, "regex", "only one of response_format, regex"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs", "only one of"),
        ({"guided_regex": "a" * 1001}, "guided_regex", "1001 characters in one pattern"),
        ({"guided_regex": "(?=a)b"}, "guided_regex", "cannot be held"),
        ({"grammar": "root ::= ("}, "grammar", "cannot be held"),
        ({"guided_grammar": "start: x" * 9000}, "guided_grammar", "at most 20,000 characters"),
        ({"guided_grammar": 'start: %json {"type": "object"}'}, "guided_grammar", "cannot contain %json"),
        ({"guided_grammar": "start: X\nX: /a/" + " & /a/" * 9}, "guided_grammar", "at most 8 of the signs"),
    ],
)
def test_wrong_forms_of_other_servers_are_refused(
    fields: dict[str, Any], param: str, message: str, engine: Any
) -> None:
    with pytest.raises(InvalidField, match=message) as caught:
        ask(engine, "Hello", **fields)
    assert caught.value.param == param


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


class _BlockedCompiling:
    """Keeps grammars that contain `marker` from being compiled until `go_on`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, marker: str) -> None:
        compile_grammar = GrammarCompiler._compile
        self.go_on = threading.Event()

        def wait_and_compile(compiler: GrammarCompiler, grammar: Grammar, field: str) -> Any:
            assert marker not in str(grammar) or self.go_on.wait(60), "no other request went on"
            return compile_grammar(compiler, grammar, field)

        monkeypatch.setattr(GrammarCompiler, "_compile", wait_and_compile)


def test_others_go_on_while_a_grammar_is_compiled(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests without a form, and with a form that is compiled sooner, get their whole answers meanwhile."""
    blocked = _BlockedCompiling(monkeypatch, "slow")
    slow, quick = ({"const": f"{speed} {type(engine).__name__}"} for speed in ("slow", "quick"))
    requests = [request("Hello", n=2, response_format=as_json(schema), **_WILD) for schema in (slow, quick)]
    calls = [Call(requests[0]), Call(request("Hello", max_tokens=20)), Call(requests[1])]
    pieces: dict[int, list[Any]] = {id(call): [] for call in calls}
    finished = []
    for call, piece in engine.chat(feed_of(calls)):
        pieces[id(call)].append(piece)
        finished += [call] if piece is None else []
        if len(finished) == 2:
            blocked.go_on.set()
    assert finished[2] is calls[0]
    answers = [whole(pieces[id(call)]) for call in calls]
    assert [json.loads(text(answers[0], index)) for index in range(2)] == [slow["const"]] * 2
    assert json.loads(text(answers[2])) == quick["const"]
    assert text(answers[1]) == text(ask(engine, "Hello", max_tokens=20))


def test_request_joins_while_a_grammar_is_compiled(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that only waits for a grammar still takes new requests, and notices a client that disconnects."""
    blocked = _BlockedCompiling(monkeypatch, "slow")
    held = Call(request("Hello", response_format=as_json({"const": f"slow join {type(engine).__name__}"})))
    free = Call(request("Hello", max_tokens=20))
    waiting = [held]
    takes = itertools.count()

    def more(room: int) -> list[Call[Any]]:
        if next(takes) == 3:
            waiting.append(free)
        return [waiting.pop(0) for _ in range(min(room, len(waiting)))]

    finished = []
    for call, piece in engine.chat(Feed(16, more)):
        if piece is None:
            finished.append(call)
            held.cancel()
    blocked.go_on.set()
    assert finished == [free]
