"""Tests of tools and thoughts that are the same for every chat engine, with models that say a script.

An engine's test file imports everything from here, and defines the fixture `scripted_engine`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contract.errors import BadRequest, InvalidField, UnsupportedFeature
from contract.tasks.chat import ChatChunk
from tests.support.batching import feed_of
from tests.support.chat_engines import ask, request, run, text, whole
from tests.support.chat_families import FAMILIES
from workers.engine import Call

ScriptedEngine = Callable[..., Any]

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Looks outside.", "parameters": CITY}},
    {"type": "function", "function": {"name": "now"}},
]
LONG = {"max_tokens": 300}


def calls_of(message: Any) -> list[tuple[str, Any]]:
    """The names and the parsed arguments of a message's calls."""
    return [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]


@pytest.mark.parametrize("family", FAMILIES)
def test_calls_are_read_in_each_familys_form(family: str, scripted_engine: ScriptedEngine) -> None:
    expected = FAMILIES[family]
    choice = ask(scripted_engine(family), "Weather?", tools=TOOLS, **LONG).choices[0]
    assert calls_of(choice.message) == expected.calls
    assert choice.message.content == (expected.text if expected.calls else expected.text or "")
    assert choice.message.reasoning_content == choice.message.reasoning == expected.thoughts
    assert choice.finish_reason == ("tool_calls" if expected.calls else "stop")


@pytest.mark.parametrize("family", ["several", "mistral"])
def test_streamed_calls_have_index_id_and_name_first(family: str, scripted_engine: ScriptedEngine) -> None:
    pieces = run(scripted_engine(family), request("Weather?", tools=TOOLS, **LONG))[0]
    deltas = [c.delta for p in pieces if isinstance(p, ChatChunk) for c in p.choices]
    calls = [delta.tool_calls[0] for delta in deltas if delta.tool_calls]
    assert all(delta.content is None for delta in deltas if delta.tool_calls)
    for number, call in enumerate(whole(pieces).choices[0].message.tool_calls or []):
        first, *rest = [piece for piece in calls if piece.index == number]
        assert (first.id, first.type, first.function.name) == (call.id, "function", call.function.name)
        assert all(piece.id is None and piece.function.name is None for piece in rest)
        assert "".join(piece.function.arguments for piece in rest) == call.function.arguments
    ids = {piece.id for piece in calls if piece.id}
    assert len(ids) == len(FAMILIES[family].calls)
    assert all(len(id_) == 9 if family == "mistral" else id_.startswith("call_") for id_ in ids)


@pytest.mark.parametrize("family", ["hermes", "several", "llama", "mistral", "deepseek", "gemma", "coder", "harmony"])
def test_result_of_a_call_is_answered(family: str, scripted_engine: ScriptedEngine) -> None:
    """The whole round: the call, as the client got it, goes back with its result."""
    engine = scripted_engine(family)
    called = ask(engine, "Weather?", tools=TOOLS, **LONG).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "21"} for call in called.tool_calls or []]
    messages = [{"role": "user", "content": "Weather?"}, called.model_dump(exclude_none=True), *results]
    answer = ask(engine, "", messages=messages, tools=TOOLS, **LONG)
    assert text(answer) == "It is 21 °C."
    assert answer.choices[0].finish_reason == "stop"


def test_ids_of_other_models_suit_the_template(scripted_engine: ScriptedEngine) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
    ]
    assert text(ask(scripted_engine("mistral"), "", messages=messages, tools=TOOLS)) == "It is 21 °C."


def test_tools_that_must_not_be_called_are_not_shown(scripted_engine: ScriptedEngine) -> None:
    engine = scripted_engine("hermes")
    with_tools, without = (
        ask(engine, "Hi", **fields) for fields in ({"tools": TOOLS, "tool_choice": "none"}, {"tools": None})
    )
    assert text(with_tools) == text(without) == "Hello, 안녕!"
    assert with_tools.usage is not None
    assert without.usage is not None
    assert with_tools.usage.prompt_tokens == without.usage.prompt_tokens


def test_only_one_call_without_parallel_calls(scripted_engine: ScriptedEngine) -> None:
    choice = ask(scripted_engine("several"), "Hi", tools=TOOLS, parallel_tool_calls=False, **LONG).choices[0]
    assert calls_of(choice.message) == FAMILIES["several"].calls[:1]
    assert choice.finish_reason == "tool_calls"


def test_old_functions_get_a_function_call(scripted_engine: ScriptedEngine) -> None:
    functions = [tool["function"] for tool in TOOLS]
    choice = ask(scripted_engine("hermes"), "Hi", functions=functions, **LONG).choices[0]
    assert choice.finish_reason == "function_call"
    assert choice.message.tool_calls is None
    assert choice.message.function_call is not None
    assert json.loads(choice.message.function_call.arguments) == {"city": "Zürich 🌦"}
    call = choice.message.function_call.model_dump()
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "get_weather", "content": "21"},
    ]
    assert text(ask(scripted_engine("hermes"), "", messages=messages, functions=functions)) == "It is 21 °C."


def test_a_call_that_is_cut_off_is_text(scripted_engine: ScriptedEngine) -> None:
    choice = ask(scripted_engine("hermes"), "Hi", tools=TOOLS, max_tokens=20).choices[0]
    assert choice.message.tool_calls is None
    assert choice.finish_reason == "length"
    assert (choice.message.content or "").startswith('Let me see.\n<tool_call>\n{"name"')


def test_stop_strings_end_the_answer_but_no_call(scripted_engine: ScriptedEngine) -> None:
    engine = scripted_engine("several")
    called = ask(engine, "Hi", tools=TOOLS, stop=["calls", "city", "oon"], **LONG).choices[0]
    assert calls_of(called.message) == FAMILIES["several"].calls
    assert (called.message.content, called.finish_reason) == ("S", "tool_calls")


def test_thoughts_are_counted(scripted_engine: ScriptedEngine) -> None:
    usage = ask(scripted_engine("several"), "Hi", tools=TOOLS, **LONG).usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens


def test_model_without_tools_refuses_them_with_the_reason(scripted_engine: ScriptedEngine) -> None:
    engine = scripted_engine("hermes", tool_format="none")
    assert "tools" not in engine.loaded_features()
    with pytest.raises(UnsupportedFeature, match="offers no tools: its entry says"):
        ask(engine, "Hi", tools=TOOLS)


def test_arguments_that_are_no_json_are_refused(scripted_engine: ScriptedEngine) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "now", "arguments": "{oops"}}
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}]
    with pytest.raises(BadRequest, match="not a JSON object"):
        ask(scripted_engine("hermes"), "", messages=messages)


def test_reasoning_effort_none_switches_thinking_off(scripted_engine: ScriptedEngine) -> None:
    def tokens(**fields: Any) -> int:
        usage = ask(scripted_engine("several"), "Hi", **fields).usage
        assert usage is not None
        return usage.prompt_tokens

    off = tokens(reasoning_effort="none")
    assert off == tokens(chat_template_kwargs={"enable_thinking": False}) > tokens() == tokens(reasoning_effort="low")


def test_a_model_that_always_thinks_warns(scripted_engine: ScriptedEngine) -> None:
    call = Call(request("Hi", reasoning_effort="none"))
    list(scripted_engine("harmony").chat(feed_of([call])))
    assert call.warnings == ["`reasoning_effort: none` had no effect: this model always thinks."]


def test_a_model_that_does_not_think_refuses_to(scripted_engine: ScriptedEngine) -> None:
    with pytest.raises(UnsupportedFeature, match="does not think"):
        ask(scripted_engine("hermes"), "Hi", reasoning_effort="low")
    assert text(ask(scripted_engine("hermes"), "Hi", reasoning_effort="none")) == "Hello, 안녕!"


def test_template_variables_cannot_replace_the_messages(scripted_engine: ScriptedEngine) -> None:
    with pytest.raises(InvalidField, match="messages"):
        ask(scripted_engine("hermes"), "Hi", chat_template_kwargs={"messages": []})


def test_thoughts_of_earlier_answers_are_left_out(scripted_engine: ScriptedEngine) -> None:
    """The template drops them, whether they come in their own field or inside the text."""

    def tokens(**answer: Any) -> int:
        user = {"role": "user", "content": "Hi"}
        messages = [user, {"role": "assistant", **answer}, user]
        usage = ask(scripted_engine("several"), "", messages=messages).usage
        assert usage is not None
        return usage.prompt_tokens

    plain = tokens(content="Yes.")
    assert tokens(content="Yes.", reasoning_content="Hm.") == plain
    assert tokens(content="<think>Hm.</think>\n\nYes.") == plain


STRICT = [
    {
        "type": "function",
        "function": {
            "name": "set_alarm",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {
                    "day": {"enum": ["Mon", "Tue"]},
                    "minutes": {"type": "integer", "minimum": 1, "maximum": 60},
                    "label": {"type": "string", "maxLength": 4},
                },
                "required": ["day", "minutes", "label"],
                "additionalProperties": False,
            },
        },
    },
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "maxProperties": 0}}},
]
HELD = ("hermes", "several", "llama", "mistral", "deepseek", "harmony", "coder")
"""Families whose script a grammar can join; the tokens of the others cross the beginning of a thought."""
_WILD = {"temperature": 2, "seed": 3, "max_tokens": 1500}


def check_calls(message: Any) -> None:
    """Check that a message has calls, and that their arguments fit."""
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in STRICT}
    assert message.tool_calls
    for name, arguments in calls_of(message):
        Draft202012Validator(schemas[name]).validate(arguments)


@pytest.mark.parametrize("family", HELD)
def test_required_calls_fit_whatever_the_model_says(family: str, scripted_engine: ScriptedEngine) -> None:
    """The model knows other words only, and is forced into a call."""
    fields = {"tools": STRICT, "parallel_tool_calls": False}
    choice = ask(scripted_engine(family), "Wake me", tool_choice="required", **fields, **_WILD).choices[0]
    check_calls(choice.message)
    assert len(choice.message.tool_calls or []) == 1
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    named = {"type": "function", "function": {"name": "set_alarm"}}
    choice = ask(scripted_engine(family), "Wake me", tool_choice=named, **fields, **_WILD).choices[0]
    check_calls(choice.message)
    assert [name for name, _ in calls_of(choice.message)] == ["set_alarm"]


@pytest.mark.parametrize("family", HELD)
def test_strict_tool_holds_the_models_own_calls(family: str, scripted_engine: ScriptedEngine) -> None:
    """The script gives the call of `get_weather` a city, which the schema forbids."""
    choice = ask(scripted_engine(family), "Weather?", tools=STRICT, max_tokens=1500).choices[0]
    check_calls(choice.message)
    assert "get_weather" in dict(calls_of(choice.message))


@pytest.mark.parametrize("family", ["hermes", "several"])
def test_format_holds_behind_thoughts_and_beside_tools(family: str, scripted_engine: ScriptedEngine) -> None:
    engine, form = scripted_engine(family), {"type": "json_schema", "json_schema": {"schema": {"enum": [["a"], 7]}}}
    plain = ask(engine, "Hello", response_format=form, max_tokens=900).choices[0]
    assert json.loads(plain.message.content) in (["a"], 7)
    called = ask(engine, "Weather?", response_format=form, tools=STRICT, max_tokens=900).choices[0]
    if called.message.tool_calls:
        check_calls(called.message)
    else:
        assert json.loads(called.message.content) in (["a"], 7)


def test_format_is_held_in_a_channel_of_its_own(scripted_engine: ScriptedEngine) -> None:
    engine, form = scripted_engine("harmony"), {"type": "json_schema", "json_schema": {"schema": {"enum": [["a"], 7]}}}
    plain = ask(engine, "Hello", response_format=form, **_WILD).choices[0]
    assert json.loads(plain.message.content) in (["a"], 7)
    assert plain.finish_reason == "stop"


def test_call_that_cannot_be_written_is_not_demanded(scripted_engine: ScriptedEngine) -> None:
    """Tags have no place for such a name."""
    engine = scripted_engine("coder")
    schema = {"type": "object", "properties": {"a > b": {"type": "string"}}, "required": ["a > b"]}
    odd = {"type": "function", "function": {"name": "get_weather", "parameters": schema}}
    with pytest.raises(UnsupportedFeature, match=r"No call can be demanded.*'a > b'"):
        ask(engine, "Weather?", tools=[odd], tool_choice="required", **LONG)
    strict = {"type": "function", "function": {**odd["function"], "strict": True}}
    call = Call(request("Weather?", tools=[strict], **LONG))
    list(engine.chat(feed_of([call])))
    assert ["`strict` has no effect" in warning for warning in call.warnings] == [True]
