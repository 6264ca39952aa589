"""Translates a stream of a task's chunks into the events of a dialect, event by event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.types import Message, Send

from contract.errors import EngineFailed, ServeError, from_envelope
from contract.server_events import server_event
from contract.tasks import Response
from contract.validation import invalid_request
from gateway.dialects.dialect import EventTranslator, StreamEvent, TimedResponse
from gateway.forwarding.captured_response import CapturedResponse
from gateway.forwarding.event_stream import WholeLines
from gateway.routes.durations import Durations

CONTENT_TYPES = {"sse": b"text/event-stream; charset=utf-8", "ndjson": b"application/x-ndjson"}

MAX_EVENT = 16 * 2**20
"""Bytes of the longest event that is translated. An event is held until it is complete."""


class TranslatedStream:
    """An ASGI `send` that translates an event stream. `began`: whether the client has the head.

    The first chunk gets the `warnings`, as an engine's own come in the first one too.
    """

    def __init__(
        self,
        send: Send,
        chunk: type[BaseModel],
        translator: EventTranslator,
        framing: Literal["sse", "ndjson"],
        request_id: str,
    ) -> None:
        self.began = False
        self.warnings: Sequence[str] = ()
        self.durations = Durations()
        self._send = send
        self._chunk = chunk
        self._translator = translator
        self._framing = framing
        self._request_id = request_id
        self._held = bytearray()
        self._line_feeds = WholeLines()
        self._ended = False
        self._refusal: CapturedResponse | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not _is_event_stream(message):
            self._refusal = CapturedResponse()
        if self._refusal is not None:
            await self._refusal(message)
        elif message["type"] == "http.response.start":
            self.began = True
            self.durations.note_timing(dict(message["headers"]).get(b"server-timing"))
            await self._send({**message, "headers": self._headers(message)})
        else:
            await self._continue(message.get("body", b""), more=message.get("more_body", False))

    def check(self) -> None:
        """Raise the ServeError of a response that is no stream."""
        if self._refusal is not None:
            self._refusal.body()
            raise EngineFailed("The server sent a whole response where a stream was requested.")

    async def fail(self, error: ServeError) -> None:
        """End the stream, which has begun, with an error."""
        await self._send({"type": "http.response.body", "body": self._end(self._failed(error))})

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        headers = [header for header in message["headers"] if header[0] not in {b"content-type", b"content-length"}]
        return [*headers, (b"content-type", CONTENT_TYPES[self._framing])]

    async def _continue(self, body: bytes, *, more: bool) -> None:
        translated = b"".join(map(self._translated, self._events(body)))
        if not more:
            translated += self._translated(bytes(self._held))
        elif len(self._held) > MAX_EVENT:
            self._held.clear()
            message = f"The server sent an event of more than {MAX_EVENT // 2**20} MiB, which cannot be translated."
            translated += self._end(self._failed(EngineFailed(message)))
        if not more:
            translated += self._end(self._translator.close())
        if translated or not more:
            await self._send({"type": "http.response.body", "body": translated, "more_body": more})

    def _events(self, body: bytes) -> list[bytes]:
        """The events that are complete with `body`; what follows them is held."""
        searched = max(0, len(self._held) - 1)
        self._held += self._line_feeds(body)
        end = self._held.rfind(b"\n\n", searched)
        if end < 0:
            return []
        events = bytes(self._held[:end]).split(b"\n\n")
        del self._held[: end + 2]
        return events

    def _translated(self, event: bytes) -> bytes:
        if self._ended:
            return b""
        data = b"\n".join(line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:"))
        if not data:
            return event + b"\n\n" if event.startswith(b":") and self._framing == "sse" else b""
        if data == b"[DONE]":
            return self._end(self._translator.close())
        try:
            document = from_json(data)
            if isinstance(document, dict) and "error" in document:
                return self._end(self._failed(_error_in(document)))
            return self._framed(self._translator.chunk(self._with_warnings(self._chunk.model_validate(document))))
        except ValueError as error:
            why = invalid_request(error).message if isinstance(error, ValidationError) else error
            return self._end(self._failed(EngineFailed(f"The server sent a chunk that cannot be read: {why}")))

    def _with_warnings(self, chunk: BaseModel) -> BaseModel:
        if self.warnings and isinstance(chunk, Response):
            chunk.warnings = [*self.warnings, *(chunk.warnings or ())]
            self.warnings = ()
        return chunk

    def _failed(self, error: ServeError) -> Iterable[StreamEvent]:
        return self._translator.fail(error, self._request_id)

    def _end(self, last: Iterable[StreamEvent]) -> bytes:
        """The last events, unless the stream has had them."""
        if self._ended:
            return b""
        self._ended = True
        return self._framed(last)

    def _framed(self, events: Iterable[StreamEvent]) -> bytes:
        return b"".join(_frame(self._timed(event), self._framing) for event in events)

    def _timed(self, event: StreamEvent) -> StreamEvent:
        """Fill in the durations of the last event, which is the only one that has them."""
        if isinstance(event.data, TimedResponse) and self._ended:
            self.durations.fill(event.data)
        elif event.data:
            self.durations.note_piece()
        return event


def _is_event_stream(message: Message) -> bool:
    content_type: bytes = dict(message["headers"]).get(b"content-type", b"")
    return message["status"] == 200 and content_type.startswith(b"text/event-stream")


def _frame(event: StreamEvent, framing: Literal["sse", "ndjson"]) -> bytes:
    text = event.data if isinstance(event.data, str) else event.data.model_dump_json(by_alias=True)
    if framing == "ndjson":
        return f"{text}\n".encode()
    return server_event(text.encode(), event.name or "")


def _error_in(document: dict[str, Any]) -> ServeError:
    """The error of an event; external servers have forms of their own."""
    try:
        return from_envelope(document)
    except (LookupError, TypeError, AttributeError):
        return EngineFailed(f"The server reported an error: {str(document['error'])[:500]}")
