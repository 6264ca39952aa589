"""The answers of Anthropic's Messages API, whole and as a stream of events.

Source: platform.claude.com/docs/en/api/messages and .../build-with-claude/streaming.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic_core import from_json, to_json

from contract.errors import ServeError
from contract.lazy_model import LazyModel
from contract.omittable import Omittable
from contract.tasks.chat import ChatChunk, ChatUsage, Choice, ChunkChoice, Delta, ToolCallDelta
from gateway.dialects.anthropic.errors import error_document
from gateway.dialects.dialect import DialectResponse, StreamEvent

UNSIGNED = "unsigned"
"""The signature of thoughts. Anthropic's proves that a model of theirs wrote them; ours proves nothing."""

_STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


class TokenUsage(LazyModel):
    """Tokens of the prompt, those of them that an earlier prompt had and were kept, and tokens of the answer."""

    input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0


class AnsweredBlock(LazyModel):
    """A block of the answer: `text`, `thinking` with its `signature`, or `tool_use` with `id`, `name` and `input`."""

    type: Literal["text", "thinking", "tool_use"]
    text: Omittable[str] = None
    thinking: Omittable[str] = None
    signature: Omittable[str] = None
    id: Omittable[str] = None
    name: Omittable[str] = None
    input: Omittable[dict[str, Any]] = None


class MessageResponse(DialectResponse):
    """The model's message. `stop_reason` says why it ended, `stop_sequence` at which of the request's."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: Sequence[AnsweredBlock] = ()
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: TokenUsage


class TokensCountResponse(DialectResponse):
    """The number of tokens of a conversation, as its model reads it."""

    input_tokens: int


def message(choice: Choice, response_id: str, model: str, usage: ChatUsage | None) -> MessageResponse:
    """A choice of a chat as a message."""
    reason, sequence = _ending(choice)
    return MessageResponse(
        id=_message_id(response_id),
        model=model,
        content=list(_blocks(choice)),
        stop_reason=reason,
        stop_sequence=sequence,
        usage=_usage(usage),
    )


def _blocks(choice: Choice) -> Iterator[AnsweredBlock]:
    said = choice.message
    if thoughts := said.reasoning_content or said.reasoning:
        yield AnsweredBlock(type="thinking", thinking=thoughts, signature=UNSIGNED)
    if said.content:
        yield AnsweredBlock(type="text", text=said.content)
    for call in said.tool_calls or ():
        function = call.function
        yield AnsweredBlock(type="tool_use", id=call.id, name=function.name, input=_arguments(function.arguments))


def _arguments(text: str) -> dict[str, Any]:
    """The arguments of a call. Those of a call that `max_tokens` cut off are as far as it came."""
    try:
        parsed = from_json(text or "{}", allow_partial=True)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) else {}


def _ending(choice: Choice | ChunkChoice) -> tuple[str, str | None]:
    """Why the message ended, and the stop sequence at which it did."""
    if choice.finish_reason == "stop" and isinstance(choice.stop_reason, str):
        return "stop_sequence", choice.stop_reason
    return _STOP_REASONS.get(choice.finish_reason or "", "end_turn"), None


def _usage(usage: ChatUsage | None) -> TokenUsage:
    if usage is None:
        return TokenUsage()
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    read = usage.prompt_tokens - cached
    return TokenUsage(input_tokens=read, cache_read_input_tokens=cached, output_tokens=usage.completion_tokens)


def _message_id(response_id: str) -> str:
    return f"msg_{response_id.removeprefix('chatcmpl-')}"


class MessageEvents:
    """Translates the stream of a chat. The blocks of the message follow each other; one at a time is open."""

    def __init__(self) -> None:
        self._has_begun = False
        self._count = 0  # the blocks so far
        self._open: str | int | None = None  # the open block: `text`, `thinking`, or the number of a call
        self._ending: tuple[str, str | None] = ("end_turn", None)
        self._usage: ChatUsage | None = None

    def chunk(self, chunk: ChatChunk) -> Iterator[StreamEvent]:
        """The events for a piece of the answer."""
        if not self._has_begun:
            yield self._begin(chunk.id, chunk.model, chunk.warnings)
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            yield from self._pieces(choice.delta)
            if choice.finish_reason:
                self._ending = _ending(choice)

    def close(self) -> Iterator[StreamEvent]:
        """The end of the message, which a stream without any chunk has too."""
        if not self._has_begun:
            yield self._begin("empty", "", None)
        yield from self._close_block()
        delta = dict(zip(("stop_reason", "stop_sequence"), self._ending, strict=True))
        yield _event("message_delta", delta=delta, usage=_usage(self._usage).model_dump())
        yield _event("message_stop")

    def fail(self, error: ServeError, request_id: str) -> Iterator[StreamEvent]:
        """An error event; nothing follows it."""
        yield _event(**error_document(error, request_id))

    def _begin(self, response_id: str, model: str, warnings: list[str] | None) -> StreamEvent:
        self._has_begun = True
        begun = MessageResponse(id=_message_id(response_id), model=model, usage=TokenUsage(), warnings=warnings)
        return _event("message_start", message=begun.model_dump())

    def _pieces(self, delta: Delta) -> Iterator[StreamEvent]:
        if thought := delta.reasoning_content or delta.reasoning:
            yield from self._open_block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            yield self._delta({"type": "thinking_delta", "thinking": thought})
        if delta.content:
            yield from self._open_block("text", {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": delta.content})
        for call in delta.tool_calls or ():
            yield from self._call(call)

    def _call(self, call: ToolCallDelta) -> Iterator[StreamEvent]:
        name = (call.function and call.function.name) or ""
        yield from self._open_block(call.index, {"type": "tool_use", "id": call.id, "name": name, "input": {}})
        if call.function and call.function.arguments:
            yield self._delta({"type": "input_json_delta", "partial_json": call.function.arguments})

    def _open_block(self, key: str | int, block: dict[str, Any]) -> Iterator[StreamEvent]:
        """Begin a block, unless it is the open one."""
        if self._open == key:
            return
        yield from self._close_block()
        self._open = key
        self._count += 1
        yield _event("content_block_start", index=self._count - 1, content_block=block)

    def _close_block(self) -> Iterator[StreamEvent]:
        if self._open is None:
            return
        if self._open == "thinking":
            yield self._delta({"type": "signature_delta", "signature": UNSIGNED})
        self._open = None
        yield _event("content_block_stop", index=self._count - 1)

    def _delta(self, delta: dict[str, Any]) -> StreamEvent:
        return _event("content_block_delta", index=self._count - 1, delta=delta)


def _event(type: str, **fields: Any) -> StreamEvent:  # noqa: A002 - the name of the API's field
    return StreamEvent(to_json({"type": type, **fields}).decode(), type)


def events(_: Any) -> MessageEvents:
    """The translator of one stream."""
    return MessageEvents()
