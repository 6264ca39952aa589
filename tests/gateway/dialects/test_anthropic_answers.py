"""Chats, whole and streamed, become messages and events of Anthropic's API, as its client's types read them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from contract.asgi.errors import response
from contract.errors import (
    DeadlinePassed,
    InvalidField,
    NeverFits,
    OutOfMemory,
    QueueFull,
    ServeError,
    ShuttingDown,
    WorkerDied,
)
from contract.status import ModelStatus
from contract.tasks.chat import ChatChunk, ChatResponse
from gateway.dialects.anthropic import ANTHROPIC, models
from gateway.dialects.anthropic.answer import MessageEvents
from gateway.dialects.anthropic.errors import ANTHROPIC_ERRORS, error_document
from gateway.dialects.anthropic.request import MessagesRequest
from gateway.dialects.dialect import StreamEvent, TaskAnswer

if TYPE_CHECKING:
    from anthropic.types import Message

MODEL = ModelStatus(id="m", engine="fake", tasks=("chat",))
[ROUTE] = [route for route in ANTHROPIC.routes if route.path == "/v1/messages"]
REQUEST = MessagesRequest.model_validate(
    {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
)


def answer(reason: str, usage: Any = None, **message: Any) -> Message:
    """A chat's response as Anthropic's client reads it."""
    from anthropic.types import Message  # takes seconds, so only the process that runs these tests imports it

    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason, "stop_reason": "END"}
    response = {"id": "chatcmpl-1", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    replies = [TaskAnswer(ChatResponse.model_validate(response), MODEL)]
    written = ROUTE.from_task(REQUEST, replies).model_dump_json()
    return Message.model_validate_json(written, strict=True)


def test_thoughts_text_and_calls_are_blocks() -> None:
    calls = [{"id": "call_1", "function": {"name": "look", "arguments": '{"at": "sky"}'}}]
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 5},
    }
    message = answer("tool_calls", usage, content="Well.", reasoning_content="Hm.", tool_calls=calls)
    thought, text, call = message.content
    assert (thought.type, text.type, call.type) == ("thinking", "text", "tool_use")
    assert (call.id, call.name, call.input) == ("call_1", "look", {"at": "sky"})
    assert (message.id, message.stop_reason, message.stop_sequence) == ("msg_1", "tool_use", None)
    counts = message.usage
    assert (counts.input_tokens, counts.cache_read_input_tokens, counts.output_tokens) == (2, 5, 3)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", ("stop_sequence", "END")), ("length", ("max_tokens", None)), ("content_filter", ("refusal", None))],
)
def test_reason_of_the_end_is_told(reason: str, expected: tuple[str, str | None]) -> None:
    message = answer(reason, content="Well.")
    assert (message.stop_reason, message.stop_sequence) == expected


def test_call_that_was_cut_off_has_what_came() -> None:
    calls = [{"id": "c", "function": {"name": "look", "arguments": '{"at": "sky", "ho'}}]
    [call] = answer("length", tool_calls=calls).content
    assert call.input == {"at": "sky"}  # type: ignore[union-attr]


def deltas(*pieces: dict[str, Any], reason: str | None = "stop", stop: str | None = None) -> list[ChatChunk]:
    def chunk(choices: list[Any], usage: Any = None) -> ChatChunk:
        frame = {"id": "chatcmpl-1", "created": 1, "model": "m", "choices": choices, "usage": usage}
        return ChatChunk.model_validate(frame)

    end = {"index": 0, "delta": {}, "finish_reason": reason, "stop_reason": stop}
    chunks = [chunk([{"index": 0, "delta": piece}]) for piece in pieces]
    return [*chunks, chunk([end]), chunk([], {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6})]


def read(events: Iterable[StreamEvent]) -> list[dict[str, Any]]:
    """The events, each as the client's type for it accepts it."""
    from anthropic.types import RawMessageStreamEvent

    documents = []
    for event in events:
        assert isinstance(event.data, str)
        TypeAdapter(RawMessageStreamEvent).validate_json(event.data, strict=True)
        documents.append(json.loads(event.data))
        assert documents[-1]["type"] == event.name
    return documents


def translated(chunks: Iterable[ChatChunk]) -> list[dict[str, Any]]:
    translator = MessageEvents()
    return read([*(event for chunk in chunks for event in translator.chunk(chunk)), *translator.close()])


def test_stream_opens_one_block_after_another() -> None:
    call: dict[str, Any] = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look"}}
    events = translated(
        deltas(
            {"role": "assistant", "content": ""},
            {"reasoning_content": "Hm", "reasoning": "Hm"},
            {"content": "We"},
            {"content": "ll."},
            {"tool_calls": [call]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"at": '}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '"sky"}'}}]},
            {"tool_calls": [{**call, "index": 1, "id": "call_2"}]},
            reason="tool_calls",
        )
    )
    assert [(event["type"], event.get("index")) for event in events] == [
        ("message_start", None),
        ("content_block_start", 0), ("content_block_delta", 0), ("content_block_delta", 0), ("content_block_stop", 0),
        ("content_block_start", 1), ("content_block_delta", 1), ("content_block_delta", 1), ("content_block_stop", 1),
        ("content_block_start", 2), ("content_block_delta", 2), ("content_block_delta", 2), ("content_block_stop", 2),
        ("content_block_start", 3), ("content_block_stop", 3),
        ("message_delta", None), ("message_stop", None),
    ]  # fmt: skip
    kinds = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert kinds == ["thinking_delta", "signature_delta", *["text_delta"] * 2, *["input_json_delta"] * 2]
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"]["input_tokens"] == 4


def test_stream_names_the_stop_sequence() -> None:
    events = translated(deltas({"content": "We"}, stop="END"))
    assert events[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


@pytest.mark.parametrize("chunks", [[], deltas(), deltas({"role": "assistant", "content": ""})])
def test_stream_without_text_is_a_whole_message(chunks: list[ChatChunk]) -> None:
    assert [event["type"] for event in translated(chunks)] == ["message_start", "message_delta", "message_stop"]


def test_stream_that_breaks_off_ends_in_an_error_event() -> None:
    translator = MessageEvents()
    begun = [event for chunk in deltas({"content": "We"})[:1] for event in translator.chunk(chunk)]
    assert len(read(begun)) == 3
    [event] = translator.fail(WorkerDied("It died."), "r")
    document = json.loads(str(event.data))
    assert (event.name, document["error"]["type"], document["request_id"]) == ("error", "api_error", "r")


def test_warnings_come_with_the_beginning_of_a_stream() -> None:
    first, *rest = deltas({"content": "We"})
    first.warnings = ["`odd` had no effect."]
    assert translated([first, *rest])[0]["message"]["warnings"] == ["`odd` had no effect."]


def test_errors_have_the_types_of_the_api() -> None:
    document = error_document(InvalidField("`top_k`: too low.", param="top_k"), "r")
    assert document["error"]["type"] == "invalid_request_error"
    assert document["error"]["param"] == "top_k"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (QueueFull("Full.", retry_after=3), 529, "overloaded_error"),
        (OutOfMemory("Full.", retry_after=3), 529, "overloaded_error"),
        (ShuttingDown("Bye.", retry_after=3), 503, "api_error"),
        (NeverFits("Too large."), 503, "api_error"),
        (DeadlinePassed("Late."), 504, "timeout_error"),
    ],
)
def test_each_type_of_error_has_its_status(error: ServeError, status: int, kind: str) -> None:
    sent = response(error, "r", ANTHROPIC_ERRORS)
    assert (sent.status_code, error_document(error, "r")["error"]["type"]) == (status, kind)
    assert sent.headers.get("retry-after") == ("3" if error.retry_after else None)


def test_models_come_in_pages() -> None:
    listed = [ModelStatus(id=f"m{number}", engine="fake", tasks=("chat",), created=1) for number in range(5)]
    first = models.page(listed, {"limit": "2"})
    assert [entry["id"] for entry in first["data"]] == ["m0", "m1"]
    assert (first["has_more"], first["last_id"]) == (True, "m1")
    rest = models.page(listed, {"after_id": "m1", "limit": "3"})
    assert ([entry["id"] for entry in rest["data"]], rest["has_more"]) == (["m2", "m3", "m4"], False)
    before = models.page(listed, {"before_id": "m4", "limit": "2"})
    assert ([entry["id"] for entry in before["data"]], before["has_more"]) == (["m2", "m3"], True)
    for wrong in ({"limit": "0"}, {"limit": "x"}, {"after_id": "none"}):
        with pytest.raises(InvalidField):
            models.page(listed, wrong)
