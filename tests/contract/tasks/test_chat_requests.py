"""Chat requests: fields, messages, tools, forms of answers, and what they ask of an engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.errors import InvalidField
from contract.media import images_in
from contract.tasks.chat import CHAT, ChatRequest, TextPart

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
CLOCK = {"name": "clock"}
TOOLS = [{"type": "function", "function": WEATHER}, {"type": "function", "function": CLOCK}]
NAMED = {"type": "function", "function": {"name": "clock"}}
ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
IMAGE = "data:image/png;base64,aGVsbG8="


def chat(**fields: Any) -> ChatRequest:
    body = {"messages": [{"role": "user", "content": "x"}], **fields}
    request: ChatRequest = CHAT.decode("application/json", json.dumps(body).encode())
    return request


def message(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", **fields}]}


def test_keeps_unknown_fields() -> None:
    assert json.loads(chat(new_field=5).model_dump_json(exclude_unset=True))["new_field"] == 5


@pytest.mark.parametrize(
    ("fields", "features"),
    [
        ({}, set()),
        ({"tools": [], "logprobs": False, "response_format": {"type": "text"}, "tool_choice": "auto"}, set()),
        ({"tools": TOOLS}, {"tools"}),
        ({"tools": TOOLS, "tool_choice": "none"}, set()),
        ({"tools": TOOLS, "tool_choice": "required"}, {"tools", "structured_output"}),
        ({"tools": TOOLS, "tool_choice": NAMED}, {"tools", "structured_output"}),
        ({"functions": [CLOCK], "function_call": {"name": "clock"}}, {"tools", "structured_output"}),
        ({"tools": [{"type": "function", "function": {**CLOCK, "strict": True}}]}, {"tools", "structured_output"}),
        ({"tools": [{"type": "web_search"}]}, {"web_search_tools"}),
        ({"response_format": {"type": "json_object"}}, {"structured_output"}),
        ({"response_format": {"type": "regex", "value": "a*"}}, {"regex_format"}),
        ({"logprobs": True, "frequency_penalty": 0.5}, {"logprobs", "penalties"}),
        ({"top_k": -1, "min_p": 0, "repetition_penalty": 1, "verbosity": "medium", "prediction": {}}, set()),
        ({"top_k": 1, "repeat_penalty": 1.1, "ignore_eos": True}, {"sampling", "token_control"}),
        ({"reasoning_effort": "none"}, set()),
        ({"reasoning": {"enabled": False}}, set()),
        ({"reasoning_effort": "low"}, {"reasoning"}),
        ({"messages": [{"role": "tool", "content": "x"}]}, {"tools"}),
        (message(content=[{"type": "image_url", "image_url": {"url": "aGVsbG8="}}]), {"images"}),
        (message(content=[{"type": "input_audio"}]), {"input_audio"}),
        (message(content=[{"type": "input_text", "text": "x"}, {"type": "refusal", "refusal": "no"}]), set()),
    ],
)
def test_required_features(fields: dict[str, Any], features: set[str]) -> None:
    assert chat(**fields).required_features() == features


def test_requirements_name_all_fields() -> None:
    request = chat(tools=TOOLS, tool_choice="required", presence_penalty=1, frequency_penalty=1)
    assert [field for field, _ in request.requirements()] == [
        "frequency_penalty",
        "presence_penalty",
        "tools",
        "tool_choice",
    ]


@pytest.mark.parametrize("fields", [{"max_tokens": -1}, {"max_completion_tokens": -1}, {"stop": [""]}, {"stop": ""}])
def test_accepts_what_asks_for_nothing(fields: dict[str, Any]) -> None:
    request = chat(**fields)
    assert (request.limit, request.stops, request.required_features()) == (None, [], frozenset())


def test_stops_leave_out_empty_ones() -> None:
    assert chat(stop=["", "a", "b"]).stops == ["a", "b"]


# Messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": IMAGE}},
        {"type": "image_url", "image_url": IMAGE},
        {"type": "input_image", "image_url": IMAGE},
    ],
)
def test_reads_images_in_every_form(part: dict[str, Any]) -> None:
    request = chat(**message(content=[part]))
    assert [image.value for image in images_in(request)] == [IMAGE]
    assert [part.image.value for part in request.messages[0].parts if part.type != "text"] == [IMAGE]  # type: ignore[union-attr]
    assert json.loads(request.model_dump_json(exclude_unset=True))["messages"][0]["content"] == [part]


def test_refusals_and_input_text_are_text() -> None:
    content = [{"type": "input_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]
    parts = chat(**message(content=content)).messages[0].parts
    assert [part.text for part in parts if isinstance(part, TextPart)] == ["a", "b"]
    [refusal] = chat(messages=[{"role": "assistant", "content": None, "refusal": "c"}]).messages[0].parts
    assert isinstance(refusal, TextPart)
    assert refusal.text == "c"


def test_keeps_tool_calls_of_the_history() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "clock", "arguments": '{"zone": "é"}'}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "1", "content": "noon"},
    ]
    request = chat(messages=messages)
    assert json.loads(request.model_dump_json(exclude_unset=True))["messages"] == messages
    [read] = request.messages[0].calls
    assert read.function is not None
    assert (read.id, read.function.name, read.function.arguments) == ("1", "clock", '{"zone": "é"}')
    assert request.messages[0].thoughts == "hm"
    assert request.messages[1].tool_call_id == "1"


def test_reads_arguments_sent_as_an_object() -> None:
    calls = [{"function": {"name": "clock", "arguments": {"zone": 1}}}]
    [call] = chat(messages=[{"role": "assistant", "tool_calls": calls}]).messages[0].calls
    assert call.function is not None
    assert call.function.arguments == {"zone": 1}


def test_reads_function_call_of_the_history_as_a_call() -> None:
    messages = [
        {"role": "assistant", "content": None, "function_call": {"name": "clock", "arguments": "{}"}},
        {"role": "function", "name": "clock", "content": "noon"},
    ]
    [call] = chat(messages=messages).messages[0].calls
    assert call.function is not None
    assert (call.type, call.function.name) == ("function", "clock")


# Tools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "mode", "names"),
    [
        (None, "auto", ["weather", "clock"]),
        ("auto", "auto", ["weather", "clock"]),
        ("required", "required", ["weather", "clock"]),
        ("any", "required", ["weather", "clock"]),
        ("none", "none", []),
        (NAMED, "required", ["clock"]),
        (ALLOWED, "required", ["clock"]),
    ],
)
def test_choice_of_tools(choice: Any, mode: str, names: list[str]) -> None:
    use = chat(tools=TOOLS, tool_choice=choice).tool_use
    assert (use.mode, [function.name for function in use.callable]) == (mode, names)
    assert [function.name for function in use.offered] == ([] if mode == "none" else ["weather", "clock"])
    assert use.parallel
    assert not use.is_legacy


def test_old_functions_are_tools() -> None:
    use = chat(functions=[WEATHER, CLOCK], function_call={"name": "clock"}).tool_use
    assert (use.mode, [function.name for function in use.callable]) == ("required", ["clock"])
    assert use.is_legacy
    assert not use.parallel
    assert chat(functions=[CLOCK], function_call="none").tool_use.mode == "none"


# Forms of answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "constraint"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_object", "schema": SCHEMA}, SCHEMA),
        ({"type": "json_object", "value": SCHEMA}, SCHEMA),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}}, SCHEMA),
        ({"type": "json_schema", "json_schema": {"name": "a"}}, {"type": "object"}),
        ({"type": "json_schema", "schema": SCHEMA}, SCHEMA),
    ],
)
def test_schema_of_the_answer(form: Any, constraint: Any) -> None:
    request = chat(response_format=form)
    assert (request.response_format and request.response_format.constraint) == constraint
    assert json.loads(request.model_dump_json(exclude_unset=True)).get("response_format") == form


# What is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"tools": [{"type": "function"}]}, "tools.0", "needs its `function`"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name", "pattern"),
        ({"tools": TOOLS, "tool_choice": {**NAMED, "function": {"name": "x"}}}, "tool_choice", "'x' is not among"),
        ({"tool_choice": "required"}, "tool_choice", "needs `tools`"),
        ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "tool_choice", "needs"),
        ({"tools": TOOLS, "tool_choice": "maybe"}, "tool_choice", "required"),
        ({"functions": [CLOCK], "function_call": {"name": "x"}}, "function_call", "'x' is not among"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "needs its schema"),
        ({"response_format": {}}, "response_format.type", "required"),
        ({"logit_bias": {"a": 1}}, "logit_bias", "ids of tokens"),
        ({"logit_bias": {str(n): 1 for n in range(2000)}}, "logit_bias", "at most 1024"),
        ({"logit_bias": {"1": 101}}, "logit_bias", "100"),
        ({"stop": ["a"] * 17}, "stop", "at most 16"),
        ({"stop_token_ids": [-1]}, "stop_token_ids.0", "0"),
        ({"max_tokens": 0}, "max_tokens", "1"),
        ({"min_p": 1.5}, "min_p", "1"),
        ({"continue_final_message": True}, "continue_final_message", "assistant's message"),
        (message(content=[{"type": "refusal"}]), "messages.0", "needs its `refusal`"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"type": "function"}]}]},
            "messages.0.tool_calls.0",
            "needs",
        ),
    ],
)
def test_refuses_with_what_to_do(fields: dict[str, Any], param: str | None, words: str) -> None:
    with pytest.raises(InvalidField, match=words) as caught:
        chat(**fields)
    assert caught.value.param == param


def test_images_beside_the_text_are_parts_before_it() -> None:
    image = "data:image/png;base64,aGk="
    beside = ChatRequest.model_validate({"messages": [{"role": "user", "content": "What?", "images": [image]}]})
    parts = [{"type": "image_url", "image_url": image}, {"type": "text", "text": "What?"}]
    inside = ChatRequest.model_validate({"messages": [{"role": "user", "content": parts}]})
    assert [part.model_dump() for part in beside.messages[0].parts] == [
        part.model_dump() for part in inside.messages[0].parts
    ]
    assert beside.requirements() == inside.requirements() == [("messages", "images")]
    assert len(list(images_in(beside))) == 1
    assert beside.warnings() == []
