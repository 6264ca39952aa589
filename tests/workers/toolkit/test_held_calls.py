"""Calls that are held to the schemas of their tools, in every form: random tokens always make a call that fits."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contract.errors import UnsupportedFeature
from contract.tasks.chat import ChatRequest
from tests.support import constraints
from tests.workers.toolkit.test_tool_formats import fold
from workers.toolkit.chat.answer_grammar import AnswerForm, form_of
from workers.toolkit.chat.call_readers import TOOL_FORMATS
from workers.toolkit.chat.constraints.compiler import GrammarCompiler
from workers.toolkit.chat.constraints.vocabulary import token_bytes
from workers.toolkit.chat.dialect import Dialect
from workers.toolkit.chat.output_parser import OutputParser
from workers.toolkit.chat.reasoning_formats import REASONING_FORMATS
from workers.toolkit.chat.turns import Turns

_PLACE = {
    "type": "object",
    "properties": {"lat": {"type": "number", "minimum": -90, "maximum": 90}, "name": {"type": "string"}},
    "required": ["lat"],
    "additionalProperties": False,
}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "now": {"type": "object", "properties": {}, "additionalProperties": False},
    "set_alarm": {
        "type": "object",
        "properties": {
            "day": {"enum": ["Mon", "Tue"]},
            "minutes": {"type": "integer", "minimum": 1, "maximum": 60},
            "label": {"type": "string", "maxLength": 4},
            "note": {"type": "string"},
            "loud": {"type": "boolean"},
        },
        "required": ["minutes", "note"],
        "additionalProperties": False,
    },
    "maps.go_to": {
        "type": "object",
        "properties": {
            "first": {"$ref": "#/$defs/place"},
            "others": {"type": "array", "items": {"$ref": "#/$defs/place"}, "maxItems": 2},
            "mode": {"anyOf": [{"enum": ["foot", "true", "7"]}, {"type": "integer", "maximum": 3}, {"type": "null"}]},
            "plate": {"type": "string", "pattern": "^[A-Z]{2}|[0-9]$", "minLength": 3, "maxLength": 9},
            "code": {"type": ["string", "null"], "minLength": 1},
            "when": {"type": "string", "format": "date"},
            "tags": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"enum": ["a", "<b>", 3, None]}}]},
        },
        "required": ["first", "mode", "plate", "tags"],
        "additionalProperties": False,
        "$defs": {"place": _PLACE},
    },
}
_ENDS = {
    "qwen3_coder": "\n</parameter>", "seed": "</parameter>", "glm": "</arg_value>", "minimax": "</parameter>",
    "deepseek_v3_2": "</｜DSML｜parameter>", "deepseek_v4": "</｜DSML｜parameter>", "gemma4": '<|"|>',
    "hunyuan": "</arg_value:opensource>", "function_gemma": "<escape>", "harmony": "<|end|>",
    "minimax_m3": "]<]minimax[>[</{}>", "kimi_k3": "<|close|>argument<|sep|>", "solar_open2": "<|tool_arg:end|>",
    "minicpm5": "]]></param>",
}  # fmt: skip
"""What ends plain text, which random tokens would hardly ever write; `{}` is the tag that was opened last."""
_OPENED = re.compile(rb"minimax\[>\[<([^</>\s]+)>")
_FORMATS = sorted(TOOL_FORMATS)

Calls = list[tuple[str, dict[str, Any]]]


def dialect_of(name: str, *, thinks: bool = False) -> Dialect:
    """The dialect of a model that writes calls in a format, and thoughts in the one of the same name."""
    thoughts = REASONING_FORMATS[name] if thinks or name == "harmony" else None
    return Dialect("", Turns(""), TOOL_FORMATS[name], thoughts)


def request_with(schemas: dict[str, Any], **fields: Any) -> ChatRequest:
    """A request with a tool for each schema, one of which must be called."""
    strict = fields.pop("strict", None)
    tools = [
        {"type": "function", "function": {"name": name, "parameters": schema, "strict": strict}}
        for name, schema in schemas.items()
    ]
    fields = {"tools": tools, "tool_choice": "required", **fields}
    return ChatRequest.model_validate({"messages": [{"role": "user", "content": "?"}], **fields})


class _Writer:
    """Writes answers of random tokens in one format; with `special`, its marks are tokens of the vocabulary."""

    def __init__(self, name: str, *, special: bool) -> None:
        from scripts.demo_models.tokenizers import byte_level

        written = TOOL_FORMATS[name]
        thoughts = REASONING_FORMATS.get(name)
        framed = (thoughts.end, *thoughts.frame.marks) if thoughts and thoughts.frame else ()
        single = [mark for mark in framed if mark.count("<|") == 1]
        names = (*written.markers, *written.tokens, *single)
        marks = [mark for mark in names if special and len(mark) > 1 and " " not in mark]
        self.tokens = byte_level(tuple(dict.fromkeys((*constraints.ENDS, *marks))), eos_token="<|im_end|>")
        self._compiler: GrammarCompiler = constraints.compiler(self.tokens)
        self._bytes = token_bytes(self.tokens)
        self._single = {text: number for number, text in enumerate(self._bytes) if len(text) == 1}
        self._end = _ENDS.get(name, '"').encode()
        first = next((mark.encode() for mark in marks if self._end.startswith(mark.encode())), self._end)
        self._whole_end = self._bytes.index(first) if first in self._bytes else None

    def answer(self, form: AnswerForm, seed: int) -> str:
        """An answer. Every other token goes on with what ends a text, as far as the grammar allows."""
        assert form.grammar is not None
        choice, ids, written = random.Random(seed), [], b""
        constraint = self._compiler.constraint(form.grammar, "tools")
        while constraint.complete_after is None and len(ids) < 3000:
            allowed = constraints.next_tokens(constraint, self.tokens).nonzero()[0].tolist()
            end = self._end.replace(b"{}", (_OPENED.findall(written) or [b""])[-1])
            started = max(n for n in range(len(end)) if written.endswith(end[:n]))
            ending = self._single.get(end[started : started + 1])
            likely = [token for token in (self._whole_end, ending, self._single[b'"']) if token in allowed]
            goes_on = likely and choice.random() < (0.95 if started else 0.4)
            token = choice.choice(likely[: 1 if started else 2] if goes_on else allowed)
            if token in constraint.end_tokens:
                break
            ids.append(token)
            written += self._bytes[token]
            constraint.advance(len(ids), token)
        return str(self.tokens.decode(ids))


@cache
def writer(name: str, *, special: bool) -> _Writer:
    """The writer of a format; its grammars are compiled once."""
    return _Writer(name, special=special)


def read(parser: OutputParser, pieces: list[str]) -> tuple[str, Calls]:
    """The text and the calls in pieces of text."""
    return fold([item for piece in pieces for item in parser.push(piece)] + list(parser.flush()))


def check(name: str, schemas: dict[str, Any], answer: str, request: ChatRequest) -> Calls:
    """Check that an answer is nothing but calls that fit, whole and in pieces."""
    dialect = dialect_of(name)
    text, calls = read(dialect.parser(request, ""), [answer])
    assert read(dialect.parser(request, ""), list(answer)) == (text, calls)
    assert (text.strip(), bool(calls)) == ("", True), answer
    for tool, arguments in calls:
        Draft202012Validator(schemas[tool], format_checker=Draft202012Validator.FORMAT_CHECKER).validate(arguments)
    return calls


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("name", _FORMATS)
def test_random_tokens_make_calls_that_fit(name: str, special: bool) -> None:
    for seed, parallel in enumerate((True, False, False)):
        request = request_with(_SCHEMAS, parallel_tool_calls=parallel)
        form = form_of(request, dialect_of(name), "")
        assert form.warnings == []
        answer = writer(name, special=special).answer(form, seed)
        assert len(check(name, _SCHEMAS, answer, request)) == 1 or parallel


@pytest.mark.parametrize("name", _FORMATS)
def test_named_tool_is_the_only_one_that_is_called(name: str) -> None:
    request = request_with(_SCHEMAS, tool_choice={"type": "function", "function": {"name": "maps.go_to"}})
    answer = writer(name, special=True).answer(form_of(request, dialect_of(name), ""), 3)
    assert {tool for tool, _ in check(name, _SCHEMAS, answer, request)} == {"maps.go_to"}


def test_strict_tool_is_refused_by_what_its_form_cannot_hold() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {}]}
    with pytest.raises(UnsupportedFeature, match=r"'find'.*`anyOf` of its parameters"):
        form_of(request_with({"find": schema}, strict=True), dialect_of("qwen3_coder"), "")
    form = form_of(request_with({"find": schema}), dialect_of("qwen3_coder"), "")
    assert ["`anyOf`" in warning for warning in form.warnings] == [True]


@pytest.mark.parametrize(
    ("name", "argument", "reason"),
    [
        ("pythonic", "in out", "'in out' of 'find' is not a name in Python"),
        ("lfm", "from", "'from' of 'find' is not a name in Python"),
        ("glm", "a<b", "'a<b' of 'find' cannot be written in a tag"),
    ],
)
def test_argument_that_cannot_be_written_is_named(name: str, argument: str, reason: str) -> None:
    schema = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    with pytest.raises(UnsupportedFeature, match=reason):
        form_of(request_with({"find": schema}), dialect_of(name), "")


_ANSWER = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 9}}, "required": ["city"]}


@pytest.mark.parametrize("name", ["harmony", "recipients", "kimi_k3", "solar_open"])
@pytest.mark.parametrize("choice", ["none", "auto"])
def test_form_is_held_where_answers_have_marks_around_them(choice: str, name: str) -> None:
    """An answer is behind a thought or not; beside tools, it may be a call instead."""
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _ANSWER, "strict": True}}
    request = request_with({"now": _SCHEMAS["now"]}, tool_choice=choice, response_format=form)
    dialect = dialect_of(name, thinks=name in REASONING_FORMATS)
    held = form_of(request, dialect, "")
    assert held.warnings == []
    seen = set()
    for seed in range(9):
        answer = writer(name, special=True).answer(held, seed)
        text, calls = read(dialect.parser(request, ""), [answer])
        assert all(call == ("now", {}) for call in calls)
        seen.add(bool(calls))
        if not calls:
            Draft202012Validator(_ANSWER).validate(json.loads(text))
    assert False in seen
    assert True not in seen or choice == "auto"


@pytest.mark.parametrize(
    ("name", "prompt"),
    [("kimi_k3", "<|open|>think<|sep|>"), ("kimi_k3", "<|open|>response<|sep|>"), ("solar_open", "<|begin|>assistant")],
)
def test_call_is_demanded_behind_the_marks_of_a_text(name: str, prompt: str) -> None:
    request, dialect = request_with(_SCHEMAS, parallel_tool_calls=False), dialect_of(name, thinks=True)
    form = form_of(request, dialect, prompt)
    for seed in range(3):
        answer = writer(name, special=True).answer(form, seed)
        text, calls = read(dialect.parser(request, prompt), [answer])
        assert (text, len(calls)) == ("", 1), answer
        assert read(dialect.parser(request, prompt), list(answer)) == (text, calls)
