"""Every dialect's stream passes its own client's validation event by event, also when something ends it early."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import pytest
from openai.types import Completion, CompletionChoice
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, ConfigDict, TypeAdapter

from scripts.testbed.server import eventually
from tests.e2e.chat_dialects.conftest import DialectServer

Event = dict[str, Any]


class StreamedChoice(CompletionChoice):
    finish_reason: Literal["stop", "length"] | None  # type: ignore[assignment]


class StreamedCompletion(Completion):
    """A piece of completions. Until a choice ends, its `finish_reason` is null, as in OpenAI's own streams."""

    choices: list[StreamedChoice]  # type: ignore[assignment]


class OllamaLine(BaseModel):
    """A line as Ollama's Python client reads it (`BaseGenerateResponse` in its _types.py)."""

    model_config = ConfigDict(strict=True)

    model: str
    created_at: str
    done: bool
    done_reason: str | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


class OllamaMessage(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["assistant"]
    content: str


class OllamaChatLine(OllamaLine):
    message: OllamaMessage


class OllamaTextLine(OllamaLine):
    response: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """A path that streams. `body` makes a request of a text, `text_of` finds the text in an event."""

    path: str
    body: Callable[[str], Event]
    event: Callable[[], Any]
    text_of: Callable[[Event], str]
    last: str
    """Of the last event of a whole stream: its type, a key with a true value, or the text `[DONE]`."""
    failed: str
    """Of the event that says that the answer broke off."""


def _messages(text: str) -> Event:
    return {"messages": [{"role": "user", "content": text}]}


def _anthropic() -> Any:
    return importlib.import_module("anthropic.types").RawMessageStreamEvent


def _text_of_choice(event: Event) -> str:
    return "".join(choice["text"] for choice in event["choices"])


DIALECTS = {
    "completions": Dialect(
        "/v1/completions", lambda text: {"prompt": text, "max_tokens": 9000, "stream": True},
        lambda: StreamedCompletion, _text_of_choice, "[DONE]", "error",
    ),
    "responses": Dialect(
        "/v1/responses", lambda text: {"input": text, "stream": True}, lambda: ResponseStreamEvent,
        lambda event: event["delta"] if event["type"] == "response.output_text.delta" else "",
        "response.completed", "response.failed",
    ),
    "messages": Dialect(
        "/v1/messages", lambda text: {**_messages(text), "max_tokens": 9000, "stream": True}, _anthropic,
        lambda event: event.get("delta", {}).get("text", ""), "message_stop", "error",
    ),
    "ollama chat": Dialect(
        "/api/chat", _messages, lambda: OllamaChatLine, lambda event: event["message"]["content"], "done", "error",
    ),
    "ollama text": Dialect(
        "/api/generate", lambda text: {"prompt": text}, lambda: OllamaTextLine, lambda event: event["response"],
        "done", "error",
    ),
}  # fmt: skip
each_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


@cache
def _adapter(dialect: Dialect) -> TypeAdapter[Any]:
    return TypeAdapter(dialect.event())


def events(lines: Iterator[str]) -> Iterator[Event]:
    """The events of a stream of either framing; `[DONE]` as an event of that type. The names must be the types."""
    name = None
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line and not line.startswith(":"):
            data = line.removeprefix("data: ")
            event: Event = {"type": data} if data == "[DONE]" else json.loads(data)
            assert name in {None, event.get("type")}, "the name of an event is its type"
            yield event


def kind_of(event: Event) -> str:
    return event.get("type") or next((key for key in ("error", "done") if event.get(key)), "")


def validate(dialect: Dialect, read: list[Event]) -> None:
    """Check each event with the types of the dialect's client; numbers of events have no gaps."""
    for event in read:
        if kind_of(event) not in {"[DONE]", "error"}:
            _adapter(dialect).validate_python(event)
    numbers = [event["sequence_number"] for event in read if "sequence_number" in event]
    assert numbers == list(range(len(numbers)))


@each_dialect
def test_whole_stream_is_valid_and_ends(dialect: Dialect, server: DialectServer) -> None:
    with server.running.stream(dialect.path, {"model": "echo", **dialect.body("one two three")}) as answer:
        read = list(events(answer.iter_lines()))
    validate(dialect, read)
    texts = [text for event in read if (text := kind_of(event) != "[DONE]" and dialect.text_of(event))]
    assert "".join(map(str, texts)) == "one two three"
    assert len(texts) > 1
    assert [number for number, event in enumerate(read) if kind_of(event) == dialect.last] == [len(read) - 1]


@each_dialect
def test_stream_of_nothing_is_valid_and_ends(dialect: Dialect, server: DialectServer) -> None:
    with server.running.stream(dialect.path, {"model": "echo", **dialect.body(" ")}) as answer:
        assert answer.status_code == 200, answer.read()
        read = list(events(answer.iter_lines()))
    validate(dialect, read)
    assert not any(dialect.text_of(event).strip() for event in read if kind_of(event) != "[DONE]")
    assert kind_of(read[-1]) == dialect.last


@each_dialect
def test_stream_of_a_dying_worker_ends_in_an_error(dialect: Dialect, server: DialectServer) -> None:
    read: list[Event] = []
    gate = server.started / "crash"
    with server.running.stream(dialect.path, {"model": "dies", **dialect.body("one two")}) as answer:
        for event in events(answer.iter_lines()):
            read.append(event)
            if kind_of(event) not in {"error", "[DONE]"} and dialect.text_of(event):
                gate.touch()
    gate.unlink()
    validate(dialect, read)
    assert [number for number, event in enumerate(read) if kind_of(event) == dialect.failed] == [len(read) - 1]
    assert "died" in json.dumps(read[-1])


@each_dialect
def test_leaving_a_stream_ends_the_work(dialect: Dialect, server: DialectServer) -> None:
    id_ = f"stream-left{dialect.path.replace('/', '-')}"
    body = {"model": "slow", **dialect.body("word " * 5000)}
    read: list[Event] = []
    with server.running.stream(dialect.path, body, headers={"x-request-id": id_}) as answer:
        for event in events(answer.iter_lines()):
            read.append(event)
            if dialect.text_of(event):
                break
    validate(dialect, read)
    eventually("the work is cancelled", (server.started / f"{id_}.cancelled").exists)
