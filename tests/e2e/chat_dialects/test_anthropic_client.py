"""Anthropic's official Python client, unmodified, against real engines."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from scripts.testbed.http import local_client
from scripts.testbed.server import disconnecting_client, eventually
from tests.e2e.chat_dialects.conftest import DialectServer
from tests.support.agent_model import ANSWER, CITY, FORECAST, PLAIN, THOUGHTS
from tests.support.doc_examples import ROOT, examples, run_example
from tests.support.sample_images import png

if TYPE_CHECKING:
    from anthropic import Anthropic

TOOL: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
QUESTION: Any = {"role": "user", "content": "Weather?"}
IMAGE: Any = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png(32, 24)).decode()},
}


PAGE = (ROOT / "docs" / "dialects.md").read_text()
EXAMPLES = [example for example in examples(PAGE, "##") if example.values[:2] == ("Anthropic Messages API", "python")]


class Forecast(BaseModel):
    city: str
    days: int


@pytest.fixture(scope="module")
def anthropic() -> Any:
    """The client's package. Importing it takes seconds, which only the process that runs these tests spends."""
    return importlib.import_module("anthropic")


@pytest.fixture(scope="module")
def client(server: DialectServer, anthropic: Any) -> Iterator[Anthropic]:
    options = {"api_key": "none", "max_retries": 0, "http_client": local_client()}
    with anthropic.Anthropic(base_url=server.running.url, **options) as client:
        yield client


def said(message: Any) -> list[tuple[str, str]]:
    return [(block.type, getattr(block, block.type, "")) for block in message.content]


def test_text_is_answered_and_counted(client: Anthropic) -> None:
    message = client.messages.create(model="agent", max_tokens=100, messages=[{"role": "user", "content": "Hi"}])
    assert said(message) == [("text", PLAIN)]
    assert (message.stop_reason, message.model, message.type) == ("end_turn", "agent", "message")
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 0
    assert message.usage.output_tokens > 1


def test_counted_tokens_are_those_that_are_read(client: Anthropic) -> None:
    fields: Any = {"model": "agent", "messages": [{"role": "user", "content": [IMAGE]}], "tools": [TOOL]}
    counted = client.messages.count_tokens(**fields, system="Be kind.").input_tokens
    usage = client.messages.create(**fields, system="Be kind.", max_tokens=1).usage
    assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_tools_make_a_round_with_thoughts_and_images(client: Anthropic) -> None:
    called = client.messages.create(model="agent", max_tokens=300, messages=[QUESTION], tools=[TOOL])
    thought, call = called.content
    assert called.stop_reason == "tool_use"
    assert thought.type == "thinking"
    assert thought.thinking.strip() == THOUGHTS
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("get_weather", {"city": CITY})
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "21"}, IMAGE]}
    said_too: Any = {"type": "text", "text": "Observation: see above."}
    messages: Any = [QUESTION, called.to_param(), {"role": "user", "content": [result, said_too]}]
    answer = client.messages.create(model="agent", max_tokens=300, messages=messages, tools=[TOOL])
    assert (said(answer), answer.stop_reason) == ([("text", ANSWER)], "end_turn")


def test_stream_adds_up_to_the_whole_message(client: Anthropic) -> None:
    fields: Any = {"model": "agent", "max_tokens": 300, "messages": [QUESTION], "tools": [TOOL]}
    whole = client.messages.create(**fields)
    with client.messages.stream(**fields) as stream:
        types = [event.type for event in stream]
        summed = stream.get_final_message()
    assert [block.to_dict().keys() for block in summed.content] == [block.to_dict().keys() for block in whole.content]
    assert summed.content[0] == whole.content[0]
    assert summed.content[1].input == whole.content[1].input  # type: ignore[union-attr]
    assert (summed.stop_reason, summed.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    assert {"thinking", "input_json", "message_stop"} <= set(types)


def test_images_are_read(client: Anthropic) -> None:
    text: Any = {"type": "text", "text": "What is this?"}
    fields: Any = {"model": "agent", "max_tokens": 100}
    plain = client.messages.create(messages=[{"role": "user", "content": [text]}], **fields)
    seen = client.messages.create(messages=[{"role": "user", "content": [IMAGE, text]}], **fields)
    assert said(seen) == [("text", PLAIN)]
    assert seen.usage.input_tokens > plain.usage.input_tokens


def test_answer_fits_the_schema_of_its_form(client: Anthropic) -> None:
    question: Any = {"role": "user", "content": "A forecast as JSON."}
    message = client.messages.parse(model="agent", max_tokens=300, messages=[question], output_format=Forecast)
    assert message.parsed_output == Forecast.model_validate(FORECAST)


def test_stop_sequence_and_prefill(client: Anthropic) -> None:
    fields: Any = {"model": "echo", "max_tokens": 50, "messages": [{"role": "user", "content": "one two three"}]}
    message = client.messages.create(stop_sequences=["never", "three"], **fields)
    assert said(message) == [("text", "one two")]
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "three")
    beginning: Any = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello, "}]
    continued = client.messages.create(model="agent", max_tokens=5, messages=beginning)
    assert continued.usage.output_tokens > 0


def test_nothing_generated_is_an_empty_message(client: Anthropic) -> None:
    fields: Any = {"model": "echo", "max_tokens": 50, "messages": [{"role": "user", "content": " "}]}
    assert client.messages.create(**fields).content == []
    with client.messages.stream(**fields) as stream:
        assert [event.type for event in stream] == ["message_start", "message_delta", "message_stop"]
        assert stream.get_final_message().content == []


def test_errors_are_those_of_the_client(client: Anthropic, anthropic: Any) -> None:
    fields: Any = {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="claude", **fields)
    assert missing.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    assert missing.value.request_id == missing.value.body["request_id"]  # type: ignore[index]
    with pytest.raises(anthropic.BadRequestError) as wrong:
        client.messages.create(model="echo", extra_body={"top_k": 3}, **fields)
    assert wrong.value.body["error"]["param"] == "top_k"  # type: ignore[index]
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model="echo", max_tokens=5, messages=[])


@pytest.mark.parametrize("stream", [False, True])
def test_full_queue_is_an_overload_that_is_retried(
    client: Anthropic, anthropic: Any, server: DialectServer, stream: bool
) -> None:
    fields: Any = {"model": "full", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    with disconnecting_client(server.running, "full", "first"):
        eventually("it waits", lambda: server.running.model("full")["waiting"] == 1)
        with pytest.raises(anthropic.OverloadedError) as full:
            client.with_options(max_retries=1).messages.create(**fields)
    eventually("its place is free", lambda: server.running.model("full")["waiting"] == 0)
    assert (full.value.status_code, full.value.type) == (529, "overloaded_error")
    assert int(full.value.response.headers["retry-after"]) >= 1
    assert full.value.request.headers["x-stainless-retry-count"] == "1"


def test_worker_that_dies_ends_the_stream_in_an_error(client: Anthropic, anthropic: Any, server: DialectServer) -> None:
    texts: list[str] = []

    def read() -> None:
        messages: Any = [{"role": "user", "content": "one two"}]
        with client.messages.stream(model="dies", max_tokens=50, messages=messages) as stream:
            for event in stream:
                if event.type == "text":
                    texts.append(event.text)
                    (server.started / "crash").touch()

    with pytest.raises(anthropic.APIStatusError) as broken:
        read()
    (server.started / "crash").unlink()
    assert texts == ["one"]
    assert broken.value.body["error"]["code"] == "worker_died"  # type: ignore[index]


def test_client_that_leaves_ends_the_work(client: Anthropic, server: DialectServer) -> None:
    fields: Any = {"model": "slow", "max_tokens": 9000, "messages": [{"role": "user", "content": "word " * 5000}]}
    with client.messages.stream(**fields, extra_headers={"x-request-id": "anthropic-leaves"}) as stream:
        next(stream.text_stream)
    left = server.started / "anthropic-leaves.cancelled"
    eventually("the work is cancelled", left.exists)


def test_models_are_listed_in_its_form(client: Anthropic, anthropic: Any) -> None:
    assert [model.id for model in client.models.list(limit=2)] == ["agent", "short", "echo", "dies", "slow", "full"]
    agent = client.models.retrieve("agent")
    assert (agent.type, agent.display_name) == ("model", "agent")
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude")


@pytest.mark.parametrize(("title", "language", "text"), EXAMPLES)
def test_documented_example_is_answered(
    server: DialectServer, tmp_path: Path, title: str, language: str, text: str
) -> None:
    assert PLAIN in run_example(language, text, server.running.url, tmp_path)
