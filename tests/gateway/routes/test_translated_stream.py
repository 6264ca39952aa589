"""Streams in the form of another API: event by event, framed, and ended exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

import pytest
from starlette.types import Message

from contract.errors import QueueFull, ServeError
from contract.tasks.chat.response import ChatChunk
from gateway.dialects.dialect import StreamEvent
from gateway.routes import translated_stream
from gateway.routes.translated_stream import TranslatedStream
from tests.support.replies import chat_event, error_envelope

HEAD: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream"), (b"server-timing", b"queue;dur=1")],
}


class Words:
    """Translates chunks into their words."""

    def chunk(self, chunk: Any) -> Iterable[StreamEvent]:
        text = chunk.choices[0].delta.content
        return [StreamEvent(json.dumps({"word": text}), "word")] if text else []

    def close(self) -> Iterable[StreamEvent]:
        return [StreamEvent('{"done":true}', "end")]

    def fail(self, error: ServeError, request_id: str) -> Iterable[StreamEvent]:
        return [StreamEvent(json.dumps({"failed": error.code, "id": request_id}))]


class Received(list[Message]):
    async def __call__(self, message: Message) -> None:
        self.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self)


def translated(framing: Literal["sse", "ndjson"] = "sse") -> tuple[TranslatedStream, Received]:
    received = Received()
    return TranslatedStream(received, ChatChunk, Words(), framing, "r"), received


async def send(stream: TranslatedStream, *pieces: bytes) -> None:
    await stream(dict(HEAD))
    for piece in pieces:
        await stream({"type": "http.response.body", "body": piece, "more_body": True})
    await stream({"type": "http.response.body", "body": b""})


async def test_each_chunk_becomes_events_at_once() -> None:
    stream, received = translated()
    await stream(dict(HEAD))
    await stream({"type": "http.response.body", "body": chat_event("a"), "more_body": True})
    assert received[-1]["body"] == b'event: word\ndata: {"word": "a"}\n\n'
    await stream({"type": "http.response.body", "body": chat_event("b") + b"data: [DONE]\n\n", "more_body": True})
    assert received[-1]["body"] == b'event: word\ndata: {"word": "b"}\n\nevent: end\ndata: {"done":true}\n\n'
    await stream({"type": "http.response.body", "body": b""})
    assert received[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert received[0]["headers"] == [
        (b"server-timing", b"queue;dur=1"),
        (b"content-type", b"text/event-stream; charset=utf-8"),
    ]


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_cuts_between_bytes_do_not_matter(size: int) -> None:
    whole = chat_event("a") + b": still here\n\n" + chat_event("é").replace(b"\n", b"\r\n") + b"data: [DONE]\n\n"
    stream, received = translated()
    await send(stream, *(whole[start : start + size] for start in range(0, len(whole), size)))
    words = [json.loads(line[6:]) for line in received.body.split(b"\n") if line.startswith(b"data: ")]
    assert words == [{"word": "a"}, {"word": "é"}, {"done": True}]
    assert b": still here\n\n" in received.body


async def test_events_may_have_any_line_ends_and_several_lines() -> None:
    chunk = json.dumps(json.loads(chat_event("a")[6:]), indent=1)
    for end in ("\n", "\r\n", "\r"):
        event = "".join(f"data:{line}{end}" for line in chunk.split("\n")).encode() + end.encode()
        stream, received = translated("ndjson")
        await send(stream, *(event[start : start + 1] for start in range(len(event))))
        assert received.body == b'{"word": "a"}\n{"done":true}\n'


async def test_chunk_of_another_form_is_explained_in_one_sentence() -> None:
    stream, received = translated("ndjson")
    said: list[str] = []
    stream._translator.fail = lambda error, _: said.append(error.message) or []  # type: ignore[method-assign]
    await send(stream, b'data: {"got": {"secret": "sk-1234"}}\n\n')
    assert len(said) == 1
    assert said[0].startswith("The server sent a chunk that cannot be read: `")
    assert "sk-1234" not in said[0]
    assert "\n" not in said[0]
    assert received.body == b""


async def test_event_that_does_not_end_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translated_stream, "MAX_EVENT", 1000)
    stream, received = translated("ndjson")
    await send(stream, chat_event("a"), b"data: ", *[b"x" * 400] * 20)
    assert received.body == b'{"word": "a"}\n{"failed": "inference_failed", "id": "r"}\n'


async def test_lines_of_json_have_no_comments() -> None:
    stream, received = translated("ndjson")
    await send(stream, b": still here\n\n" + chat_event("a"), b"data: [DONE]\n\n")
    assert received.body == b'{"word": "a"}\n{"done":true}\n'
    assert (b"content-type", b"application/x-ndjson") in received[0]["headers"]


async def test_end_without_done_closes_the_translation() -> None:
    stream, received = translated("ndjson")
    await send(stream, chat_event("a"))
    assert received.body == b'{"word": "a"}\n{"done":true}\n'


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (json.dumps(error_envelope("evicted", "gone")).encode(), "evicted"),
        (b'{"error": "out of luck"}', "inference_failed"),
        (b"not json", "inference_failed"),
        (b'{"choices": 7}', "inference_failed"),
    ],
)
async def test_error_ends_the_stream_and_nothing_follows(event: bytes, code: str) -> None:
    stream, received = translated("ndjson")
    await send(stream, chat_event("a"), b"data: " + event + b"\n\n", chat_event("b"), b"data: [DONE]\n\n")
    assert received.body == f'{{"word": "a"}}\n{{"failed": "{code}", "id": "r"}}\n'.encode()


async def test_refusal_before_the_stream_is_raised() -> None:
    stream, received = translated()
    await stream({"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"application/json")]})
    await stream({"type": "http.response.body", "body": json.dumps(error_envelope("queue_full", "full")).encode()})
    with pytest.raises(QueueFull):
        stream.check()
    assert not received
    assert not stream.began
