"""Conversations of OpenAI's Responses API become chats, and chats its responses and events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter, ValidationError

from contract.errors import ContextTooLong, UnsupportedFeature, WorkerDied
from contract.media import ImageInput
from contract.status import ModelStatus
from contract.tasks.chat import ChatChunk, ChatRequest, fold
from gateway.dialects.dialect import TaskAnswer
from gateway.dialects.responses import RESPONSES
from gateway.dialects.responses.events import ResponseEvents
from gateway.dialects.responses.replay import events_of
from gateway.dialects.responses.request import ResponsesRequest
from gateway.forwarding.model_table import ModelTable
from tests.support.sample_images import png

MODEL = ModelStatus(id="m", engine="fake", tasks=("chat",))
THINKER = ModelStatus(id="thinker", engine="fake", tasks=("chat",), features=("reasoning",))
SHORTENER = ModelStatus(id="shortener", engine="mlx", tasks=("chat",), features=("truncation",))
TABLE = ModelTable([MODEL, THINKER, SHORTENER])
[ROUTE] = [route for route in RESPONSES.routes if route.path == "/v1/responses"]
IMAGE = ImageInput(png(8, 8)).as_text()
TOOL = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}}
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)

CODEX: dict[str, Any] = {
    "model": "m",
    "instructions": "You are Codex.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox: read-only."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context/>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List the files."}]},
        {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAAA"},
        {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": '{"output":"a.py","metadata":{"exit_code":0}}'},
    ],
    "tools": [
        {"type": "function", "name": "shell", "description": "Runs.", "strict": False,
         "parameters": {"type": "object", "properties": {"command": {"type": "array", "items": {"type": "string"}}}}},
        {"type": "web_search", "external_web_access": False},
        {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": {"type": "grammar"}},
        {"type": "namespace", "name": "mcp", "description": "", "tools": [TOOL]},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199",
    "text": {"verbosity": "low"},
    "client_metadata": {"session": "x"},
}  # fmt: skip
"""A request as Codex builds it in codex-rs/core and codex-rs/codex-api."""


def request(**fields: Any) -> ResponsesRequest:
    return ResponsesRequest.model_validate({"model": "m", "input": "Hi", **fields})


def chat(**fields: Any) -> dict[str, Any]:
    """The chat that a request becomes, as it is sent to the worker."""
    [query] = ROUTE.to_task(request(**fields), TABLE)
    sent: ChatRequest = query.request
    return sent.model_dump(exclude_unset=True)


def chunk(delta: dict[str, Any] | None = None, **fields: Any) -> ChatChunk:
    """A chunk with a piece of the only choice, or with none."""
    finish = fields.pop("finish_reason", None)
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return ChatChunk(id="chatcmpl-1", created=5, model="m", choices=choices, **fields)  # type: ignore[arg-type]


CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}
ANSWER = [
    chunk({"role": "assistant", "content": ""}, warnings=["`x` had no effect."]),
    chunk({"reasoning_content": "I "}),
    chunk({"reasoning_content": "look."}),
    chunk({"content": "One "}),
    chunk({"content": "moment."}),
    chunk({"tool_calls": [CALL]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"at": 1}'}}]}),
    chunk({}, finish_reason="tool_calls"),
    chunk(usage={"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}),
]


def events(chunks: list[ChatChunk], **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream; each is one that OpenAI's client knows."""
    translator = ResponseEvents(request(stream=True, **fields))
    made = [event for item in chunks for event in translator.chunk(item)] + list(translator.close())
    documents = [json.loads(str(event.data)) for event in made]
    assert [document["type"] for document in documents] == [event.name for event in made]
    for document in documents:
        EVENT.validate_python(document)
    assert [document["sequence_number"] for document in documents] == list(range(len(documents)))
    return documents


def test_text_and_settings_become_a_chat() -> None:
    fields = {"instructions": "Be kind.", "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 9, "stream": True}
    assert chat(**fields) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_codex_request_becomes_a_chat() -> None:
    sent = chat(**CODEX)
    assert sent["messages"] == [
        {"role": "system", "content": "You are Codex.\n\nSandbox: read-only."},
        {"role": "user", "content": "<environment_context/>"},
        {"role": "user", "content": "List the files."},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "shell", "arguments": '{"command":["ls"]}'}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"output":"a.py","metadata":{"exit_code":0}}'},
    ]  # fmt: skip
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["shell"]
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("auto", False)
    assert "reasoning_effort" not in sent
    assert chat(**{**CODEX, "model": "thinker"})["reasoning_effort"] == "medium"
    warnings = request(**CODEX).warnings()
    assert [name for name in ("web_search", "apply_patch", "namespace") if any(name in text for text in warnings)] == [
        "web_search", "apply_patch", "namespace",
    ]  # fmt: skip
    assert len(warnings) == 4  # the three and the verbosity


def test_thoughts_answers_and_calls_are_one_turn() -> None:
    items = [
        {"role": "user", "content": "Look"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "I look."}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "One moment.", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [
            {"type": "input_text", "text": "See."}, {"type": "input_image", "image_url": IMAGE}]},
    ]  # fmt: skip
    messages = chat(input=items, tools=[TOOL])["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user"]
    assert messages[1]["reasoning_content"] == "I look."
    assert messages[1]["content"] == "One moment."
    assert messages[1]["tool_calls"][0]["id"] == "c1"
    assert messages[2]["content"] == "See."
    assert messages[3]["content"][0]["type"] == "image_url"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "function", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
        ("required", "required"),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]},
         {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
             {"type": "function", "function": {"name": "look"}}]}}),
    ],
)  # fmt: skip
def test_tool_choice_keeps_its_meaning(choice: Any, expected: Any) -> None:
    assert chat(tools=[TOOL], tool_choice=choice)["tool_choice"] == expected


def test_truncation_is_left_to_engines_that_can() -> None:
    assert chat(model="shortener", truncation="auto")["truncation"] == "auto"
    for fields in ({"truncation": "disabled"}, {"truncation": None}, {}):
        assert "truncation" not in chat(model="shortener", **fields)
    [query] = ROUTE.to_task(request(truncation="auto"), TABLE)
    assert "truncation" not in query.request.model_fields_set
    assert [warning for warning in query.warnings if "`truncation` had no effect" in warning]
    with pytest.raises(ValidationError, match="truncation"):
        request(truncation="some")


def test_form_of_the_answer_is_kept() -> None:
    form = {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": True}
    sent = chat(text={"format": form})["response_format"]
    assert sent["json_schema"] == {"name": "city", "schema": {"type": "object"}, "strict": True}
    assert "response_format" not in chat(text={"format": {"type": "text"}})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input_file"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "file_id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "item_reference"),
        ({"tool_choice": {"type": "web_search"}}, "web_search is no function"),
    ],
)
def test_what_no_model_here_reads_is_refused(fields: Any, reason: str) -> None:
    with pytest.raises(UnsupportedFeature, match=reason):
        chat(**fields)


def test_whole_answer_is_one_that_the_client_knows() -> None:
    answer = ROUTE.from_task(request(tools=[TOOL], metadata={"a": "b"}), [TaskAnswer(fold(ANSWER), MODEL)])
    response = Response.model_validate(answer.model_dump(by_alias=True))
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.output_text == "One moment."
    assert response.status == "completed"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 5)
    assert (response.metadata, response.tools[0].type) == ({"a": "b"}, "function")


def test_stream_has_the_full_sequence() -> None:
    made = events(ANSWER, tools=[TOOL])
    assert [event["type"].removeprefix("response.") for event in made] == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    whole = ROUTE.from_task(request(tools=[TOOL]), [TaskAnswer(fold(ANSWER), MODEL)]).model_dump(by_alias=True)
    last = made[-1]["response"]
    without_ids = [[{**item, "id": ""} for item in output] for output in (last["output"], whole["output"])]
    assert without_ids[0] == without_ids[1]
    assert last["usage"] == whole["usage"]
    assert made[0]["response"]["warnings"] == ["`x` had no effect."]
    assert {event["output_index"] for event in made if "output_index" in event} == {0, 1, 2}


def test_limit_makes_the_response_incomplete() -> None:
    made = events([chunk({"content": "One"}), chunk({}, finish_reason="length")])
    assert made[-1]["type"] == "response.incomplete"
    assert made[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert made[-1]["response"]["output"][0]["status"] == "incomplete"


def test_nothing_generated_is_an_empty_message() -> None:
    for chunks in ([], [chunk({"role": "assistant", "content": ""}), chunk({}, finish_reason="stop")]):
        made = events(chunks)
        assert made[-1]["type"] == "response.completed"
        assert made[-1]["response"]["output"][0]["content"][0]["text"] == ""


def test_broken_stream_ends_in_a_failure() -> None:
    translator = ResponseEvents(request(stream=True))
    begun = list(translator.chunk(chunk({"content": "One"})))
    [failed] = translator.fail(WorkerDied("It died."), "r")
    document = json.loads(str(failed.data))
    EVENT.validate_python(document)
    assert (failed.name, document["sequence_number"]) == ("response.failed", len(begun))
    assert document["response"]["error"] == {"code": "server_error", "message": "It died."}
    [too_long] = list(ResponseEvents(request(stream=True)).fail(ContextTooLong("Too long."), "r"))[-1:]
    assert json.loads(str(too_long.data))["response"]["error"]["code"] == ContextTooLong("").code


@pytest.mark.parametrize("chunks", [[], [chunk({"content": "a"})]])
def test_no_two_responses_have_the_same_id(chunks: list[ChatChunk]) -> None:
    """Whatever ids a server gives its chats: a stored response must not replace another."""
    first, second = (events(chunks)[-1]["response"] for _ in range(2))
    assert first["id"] != second["id"]
    assert first["output"][0]["id"] != second["output"][0]["id"]


def test_stored_response_is_replayed_as_the_client_expects() -> None:
    document = ROUTE.from_task(request(tools=[TOOL]), [TaskAnswer(fold(ANSWER), MODEL)]).model_dump(by_alias=True)
    for status, last in (("completed", "completed"), ("failed", "failed"), ("cancelled", "incomplete")):
        for background in (True, False):
            made = list(events_of({**document, "status": status, "background": background}))
            for event in made:
                EVENT.validate_python(event)
            assert [event["sequence_number"] for event in made] == list(range(len(made)))
            assert (made[-1]["type"], made[-1]["response"]["output"]) == (f"response.{last}", document["output"])
            for unfinished, count in (("queued", 2), ("in_progress", 3)):
                if background:
                    begun = {**document, "status": unfinished, "output": [], "usage": None, "background": True}
                    assert [e["type"] for e in events_of(begun)] == [e["type"] for e in made[:count]]
    added = [event["item"] for event in made if event["type"] == "response.output_item.added"]
    done = [event["item"] for event in made if event["type"] == "response.output_item.done"]
    assert done == document["output"]
    assert [item.get("content", item.get("arguments")) for item in added] == [[], [], ""]
