"""Tools and thoughts with OpenAI's Python SDK, against real engines whose models say a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator
from openai import OpenAI, pydantic_function_tool
from pydantic import BaseModel

from scripts.testbed.server import RunningServer
from tests.support.chat_families import FAMILIES
from tests.support.chat_tool_requests import STRICT

TOOLS: Any = [
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}},
    {"type": "function", "function": {"name": "now"}},
]
QUESTION: Any = [{"role": "user", "content": "Weather?"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    options = {"options": {"threads": 1}}
    scripted = {
        family: str(FAMILIES[family].build(tmp_path_factory.mktemp(family))) for family in ("several", "mistral")
    }
    entries: list[dict[str, Any]] = [
        {"id": "thinking", "engine": "transformers_chat", "source": scripted["several"], **options},
        {"id": "calling", "engine": "mlx", "source": scripted["mistral"]},
    ]
    with RunningServer(tmp_path_factory.mktemp("tools"), entries) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> OpenAI:
    return server.client


@pytest.mark.parametrize("model", ["thinking", "calling"])
def test_call_and_result_make_a_round(client: OpenAI, model: str) -> None:
    called = client.chat.completions.create(model=model, messages=QUESTION, tools=TOOLS)
    assert called.choices[0].finish_reason == "tool_calls"
    message = called.choices[0].message
    calls = message.tool_calls or []
    assert json.loads(calls[0].function.arguments) == {"city": "Zürich 🌦"}  # type: ignore[union-attr]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "21"} for call in calls]
    messages: Any = [*QUESTION, message, *results]
    answer = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    assert answer.choices[0].message.content == "It is 21 °C."


@pytest.mark.parametrize("model", ["thinking", "calling"])
def test_streamed_calls_are_summed_by_the_sdk(client: OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=QUESTION, tools=TOOLS).choices[0].message
    with client.chat.completions.stream(model=model, messages=QUESTION, tools=TOOLS) as stream:
        names = [event.name for event in stream if event.type == "tool_calls.function.arguments.done"]
        summed = stream.get_final_completion().choices[0].message
    assert names == [call.function.name for call in whole.tool_calls or []]  # type: ignore[union-attr]
    assert [call.function.arguments for call in summed.tool_calls or []] == [
        call.function.arguments
        for call in whole.tool_calls or []  # type: ignore[union-attr]
    ]
    assert summed.model_extra is not None
    assert whole.model_extra is not None
    assert summed.model_extra.get("reasoning_content") == whole.model_extra.get("reasoning_content")


class Weather(BaseModel):
    city: Literal["Bern", "Zürich"]
    days: Literal[1, 2, 3]


ALARM: Any = STRICT[0]["function"]["parameters"]


@pytest.mark.parametrize("model", ["thinking", "calling"])
def test_demanded_call_fits_whatever_the_model_says(client: OpenAI, model: str) -> None:
    """The models know no such tool. Whole and streamed, the same seed gives the same call."""
    tool: Any = {"type": "function", "function": {"name": "set_alarm", "parameters": ALARM}}
    fields: Any = {"model": model, "messages": QUESTION, "tools": [tool], "tool_choice": "required"}
    fields |= {"parallel_tool_calls": False, "temperature": 2, "seed": 3, "max_tokens": 1500}
    whole = client.chat.completions.create(**fields).choices[0]
    with client.chat.completions.stream(**fields) as stream:
        streamed = stream.get_final_completion().choices[0]
    for choice in (whole, streamed):
        [call] = choice.message.tool_calls or []
        assert (call.function.name, choice.finish_reason) == ("set_alarm", "tool_calls")  # type: ignore[union-attr]
        Draft202012Validator(ALARM).validate(json.loads(call.function.arguments))  # type: ignore[union-attr]
    assert streamed.message.tool_calls[0].function.arguments == whole.message.tool_calls[0].function.arguments


def test_parsed_tool_has_the_arguments_of_its_class(client: OpenAI) -> None:
    tool = pydantic_function_tool(Weather, name="get_weather")
    named: Any = {"type": "function", "function": {"name": "get_weather"}}
    parsed = client.chat.completions.parse(
        model="calling", messages=QUESTION, tools=[tool], tool_choice=named, parallel_tool_calls=False, temperature=0
    )
    [call] = parsed.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Weather)


def test_models_tell_the_forms_of_calls_and_thoughts(client: OpenAI, server: RunningServer) -> None:
    for model in ("thinking", "calling"):
        client.chat.completions.create(model=model, messages=QUESTION, max_tokens=1)
    facts = {model["id"]: (model["tools"], model["reasoning"]) for model in server.get("/v1/models").json()["data"]}
    assert facts["thinking"] == ("hermes", "think")
    assert facts["calling"][0] == "mistral"
