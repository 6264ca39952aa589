"""OpenAI's official Python client, unmodified, against real engines through the Responses API."""

from __future__ import annotations

import base64
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from scripts.testbed.server import eventually
from tests.e2e.chat_dialects.conftest import DialectServer
from tests.gateway.dialects.test_responses import CODEX
from tests.support.agent_model import ANSWER, CITY, FORECAST, PLAIN, THOUGHTS
from tests.support.doc_examples import ROOT, examples, run_example
from tests.support.sample_images import png

TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
QUESTION: Any = {"role": "user", "content": "Weather?"}
IMAGE: Any = {
    "type": "input_image",
    "detail": "auto",
    "image_url": "data:image/png;base64," + base64.b64encode(png(32, 24)).decode(),
}
PAGE = (ROOT / "docs" / "dialects.md").read_text()
EXAMPLES = [example for example in examples(PAGE, "##") if example.values[:2] == ("OpenAI Responses API", "python")]


class Forecast(BaseModel):
    city: str
    days: int


@pytest.fixture(scope="module")
def client(server: DialectServer) -> OpenAI:
    return server.running.client


def test_text_is_answered_and_counted(client: OpenAI) -> None:
    response = client.responses.create(model="agent", input="Hi", instructions="Be kind.")
    assert (response.output_text, response.status, response.model) == (PLAIN, "completed", "agent")
    assert response.usage is not None
    counted = client.responses.input_tokens.count(model="agent", input="Hi", instructions="Be kind.")
    assert counted.input_tokens == response.usage.input_tokens


def test_counts_what_a_request_continues_and_refers_to(client: OpenAI) -> None:
    def count(*items: Any, **fields: Any) -> int:
        return client.responses.input_tokens.count(model="agent", input=list(items), **fields).input_tokens

    first = client.responses.create(model="agent", input=[QUESTION])
    said = first.output[-1]
    whole = count(QUESTION, said.to_dict(), QUESTION)
    assert whole > count(QUESTION)
    assert count(QUESTION, {"type": "item_reference", "id": said.id}, QUESTION) == whole
    assert count(QUESTION, previous_response_id=first.id) == count(
        QUESTION, *(o.to_dict() for o in first.output), QUESTION
    )
    with pytest.raises(openai.NotFoundError, match="Send the item itself"):
        count({"type": "item_reference", "id": "msg_nope_0"})
    with pytest.raises(openai.NotFoundError) as gone:
        count(QUESTION, previous_response_id="resp_nope")
    assert gone.value.param == "previous_response_id"


def test_tools_make_a_round_with_thoughts_and_images(client: OpenAI) -> None:
    called = client.responses.create(model="agent", input=[QUESTION], tools=[TOOL])
    thought, call = called.output
    assert thought.type == "reasoning"
    assert thought.content is not None
    assert thought.content[0].text.strip() == THOUGHTS
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("get_weather", f'{{"city": "{CITY}"}}')
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "21"}
    observed: Any = {"role": "user", "content": [{"type": "input_text", "text": "Observation: see above."}, IMAGE]}
    history: Any = [QUESTION, *(item.to_dict() for item in called.output), result, observed]
    assert client.responses.create(model="agent", input=history, tools=[TOOL]).output_text == ANSWER


def test_stream_adds_up_to_the_whole_response(client: OpenAI) -> None:
    fields: Any = {"model": "agent", "input": [QUESTION], "tools": [TOOL]}
    whole = client.responses.create(**fields)
    with client.responses.stream(**fields) as stream:
        events = list(stream)
        summed = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [item.type for item in summed.output] == [item.type for item in whole.output]
    assert summed.output[1].arguments == whole.output[1].arguments  # type: ignore[union-attr]
    assert (summed.status, summed.usage.output_tokens) == ("completed", whole.usage.output_tokens)  # type: ignore[union-attr]
    assert {"response.reasoning_text.delta", "response.function_call_arguments.delta"} <= {
        event.type for event in events
    }


def test_answer_fits_the_schema_of_its_form(client: OpenAI) -> None:
    response = client.responses.parse(model="agent", input="A forecast as JSON.", text_format=Forecast)
    assert response.output_parsed == Forecast.model_validate(FORECAST)


def test_codex_request_is_answered_with_warnings(client: OpenAI) -> None:
    metadata = CODEX["client_metadata"]  # which the client does not know
    fields = {**CODEX, "model": "agent", "extra_body": {"client_metadata": metadata}}
    del fields["client_metadata"]
    events: Any = list(client.responses.create(**fields))
    assert events[-1].type == "response.completed"
    warnings = events[0].response.warnings
    assert any("web_search" in sentence for sentence in warnings)


def test_long_conversation_is_cut_only_if_truncation_is_auto(client: OpenAI) -> None:
    stored = client.responses.create(model="short", input="Do you know Bern?" * 10, instructions="Be kind.")
    long: Any = [{"role": "user", "content": "x" * 200}, {"role": "assistant", "content": "y" * 200}]
    fields: Any = {"model": "short", "input": [*long, *long, QUESTION], "tools": [TOOL]}
    for refused in ({}, {"truncation": "disabled"}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(**fields, **refused)
        assert caught.value.code == "context_length_exceeded"
    whole = client.responses.create(**fields, truncation="auto", previous_response_id=stored.id)
    assert whole.truncation == "auto"
    assert whole.output[-1].to_dict()["name"] == "get_weather"
    [warning] = [warning for warning in whole.to_dict()["warnings"] if "truncation" in warning]  # type: ignore[attr-defined]
    assert "messages, the oldest, were left out" in warning
    with client.responses.stream(**fields, truncation="auto") as stream:
        summed = stream.get_final_response()
    assert (summed.status, summed.output[-1].to_dict()["name"]) == ("completed", "get_weather")
    with pytest.raises(openai.BadRequestError, match="context of 600"):
        client.responses.create(model="short", input="x" * 2000, truncation="auto")


def test_limit_makes_the_response_incomplete(client: OpenAI) -> None:
    response = client.responses.create(model="agent", input="Hi", max_output_tokens=1)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


def test_errors_name_the_clients_field(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="gpt", input="Hi")
    with pytest.raises(openai.BadRequestError, match="`input`"):
        client.responses.create(model="agent", input=[{"type": "computer_call", "id": "cu_1"}])  # type: ignore[list-item, typeddict-item]
    with pytest.raises(openai.BadRequestError) as wrong:
        client.responses.create(model="echo", input="Hi", tools=[TOOL], tool_choice="required")
    assert wrong.value.param == "tools"


def test_worker_that_dies_ends_the_stream_in_a_failure(client: OpenAI, server: DialectServer) -> None:
    last: Any = None
    for last in client.responses.create(model="dies", input="one two", stream=True):
        if last.type == "response.output_text.delta":
            (server.started / "crash").touch()
    (server.started / "crash").unlink()
    assert last.type == "response.failed"
    assert last.response.error.code == "server_error"
    assert last.response.output[0].type == "message"


def test_client_that_leaves_ends_the_work(client: OpenAI, server: DialectServer) -> None:
    headers = {"x-request-id": "responses-leaves"}
    with client.responses.create(model="slow", input="word " * 5000, stream=True, extra_headers=headers) as stream:
        next(event for event in stream if event.type == "response.output_text.delta")
    left = server.started / "responses-leaves.cancelled"
    eventually("the work is cancelled", left.exists)


@pytest.mark.parametrize(("title", "language", "text"), EXAMPLES)
def test_documented_example_is_answered(
    server: DialectServer, tmp_path: Any, title: str, language: str, text: str
) -> None:
    assert PLAIN in run_example(language, text, server.running.url, tmp_path)
