"""The events of a streamed response. Source: platform.openai.com/docs/api-reference/responses-streaming."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import to_json

from contract.errors import ServeError
from contract.tasks.chat import ChatChunk, ChatUsage, ChunkChoice, TokenLogprob, ToolCallDelta
from gateway.dialects.dialect import StreamEvent
from gateway.dialects.responses import output
from gateway.dialects.responses.output import Item, ModelResponse
from gateway.dialects.responses.request import ResponsesRequest


class ResponseEvents:
    """Translates the stream of a chat. The items of the output follow each other; one at a time is open."""

    def __init__(self, request: ResponsesRequest) -> None:
        self._request = request
        self._response: ModelResponse | None = None
        self._sequence = 0
        self._items: list[Item] = []
        self._open: str | int | None = None  # the open item: `message`, `reasoning`, or the number of a call
        self._text: list[str] = []  # of the open item
        self._logprobs: list[TokenLogprob] = []
        self._reason: str | None = None
        self._usage: ChatUsage | None = None

    def chunk(self, chunk: ChatChunk) -> Iterator[StreamEvent]:
        """The events for a piece of the answer."""
        if self._response is None:
            yield from self._begin(chunk)
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices:
            yield from self._pieces(choice)
            self._reason = choice.finish_reason or self._reason

    def close(self) -> Iterator[StreamEvent]:
        """The end of the open item and of the response, which a stream without any chunk has too."""
        if self._response is None:
            yield from self._begin(self._without_answer())
        assert self._response is not None
        if not self._items:
            yield from self._open_item("message", lambda id_: output.message_item(id_, None, status="in_progress"))
        status = output.finish(self._response, self._reason)
        yield from self._close_item(status)
        self._response.output, self._response.usage = self._items, output.usage_of(self._usage)
        if status == "completed":
            self._response.completed_at = self._response.created_at
        yield self._lifecycle(status)

    def fail(self, error: ServeError, request_id: str) -> Iterator[StreamEvent]:  # noqa: ARG002 - the protocol's
        """The end of a response that broke off, with what there is of it."""
        if self._response is None:
            yield from self._begin(self._without_answer())
        assert self._response is not None
        output.fail(self._response, error)
        self._response.output = self._items
        yield self._lifecycle("failed")

    def _without_answer(self) -> ChatChunk:
        """What a response begins with of which the model has said nothing."""
        return ChatChunk(id="", created=0, model=self._request.model or "", choices=[])

    def _begin(self, chunk: ChatChunk) -> Iterator[StreamEvent]:
        self._unique = output.new_id()
        self._response = output.begin(self._request, f"resp_{self._unique}", chunk.created, chunk.model)
        self._response.warnings = chunk.warnings
        yield self._lifecycle("created")
        yield self._lifecycle("in_progress")

    def _lifecycle(self, name: str) -> StreamEvent:
        assert self._response is not None
        return self._event(name, response=self._response.model_dump(by_alias=True))

    def _pieces(self, choice: ChunkChoice) -> Iterator[StreamEvent]:
        delta = choice.delta
        if thought := delta.reasoning_content or delta.reasoning:
            yield from self._open_item("reasoning", lambda id_: output.reasoning_item(id_, None, status="in_progress"))
            yield from self._delta("reasoning_text.delta", thought)
        logprobs = (choice.logprobs and choice.logprobs.content) or []
        if delta.content or logprobs:
            yield from self._open_item("message", lambda id_: output.message_item(id_, None, status="in_progress"))
            self._logprobs += logprobs
            reported = [logprob.model_dump(exclude={"bytes"}) for logprob in logprobs]
            yield from self._delta("output_text.delta", delta.content or "", logprobs=reported)
        for call in delta.tool_calls or ():
            yield from self._call(call)

    def _call(self, call: ToolCallDelta) -> Iterator[StreamEvent]:
        name = (call.function and call.function.name) or ""
        yield from self._open_item(
            call.index, lambda id_: output.call_item(id_, call.id or "", name, "", status="in_progress")
        )
        if call.function and call.function.arguments:
            self._text.append(call.function.arguments)
            yield self._of_item("function_call_arguments.delta", delta=call.function.arguments)

    def _delta(self, name: str, text: str, **fields: Any) -> Iterator[StreamEvent]:
        self._text.append(text)
        yield self._of_part(name, delta=text, **fields)

    def _open_item(self, key: str | int, make: Any) -> Iterator[StreamEvent]:
        """Begin an item, unless it is the open one."""
        if self._open == key:
            return
        yield from self._close_item("completed")
        prefix = {"message": "msg", "reasoning": "rs"}.get(str(key), "fc")
        self._open, self._text, self._logprobs = key, [], []
        item = make(f"{prefix}_{self._unique}_{len(self._items)}")
        self._items.append(item)
        yield self._event("output_item.added", output_index=len(self._items) - 1, item=dict(item))
        if isinstance(key, str):
            yield self._of_part("content_part.added", part=self._part(""))

    def _close_item(self, status: str) -> Iterator[StreamEvent]:
        if self._open is None:
            return
        item, text, key = self._items[-1], "".join(self._text), self._open
        item["status"] = status
        if isinstance(key, str):
            name = "output_text.done" if key == "message" else "reasoning_text.done"
            reported = [logprob.model_dump(exclude={"bytes"}) for logprob in self._logprobs]
            yield self._of_part(name, text=text, **({"logprobs": reported} if key == "message" else {}))
            item["content"] = [self._part(text)]
            yield self._of_part("content_part.done", part=item["content"][0])
        else:
            item["arguments"] = text
            yield self._of_item("function_call_arguments.done", arguments=text, name=item["name"])
        yield self._event("output_item.done", output_index=len(self._items) - 1, item=item)
        self._open = None

    def _part(self, text: str) -> Item:
        if self._open == "message":
            return output.text_part(text, self._logprobs if text else ())
        return output.reasoning_part(text)

    def _of_item(self, kind: str, /, **fields: Any) -> StreamEvent:
        return self._event(kind, item_id=self._items[-1]["id"], output_index=len(self._items) - 1, **fields)

    def _of_part(self, kind: str, /, **fields: Any) -> StreamEvent:
        return self._of_item(kind, content_index=0, **fields)

    def _event(self, kind: str, /, **fields: Any) -> StreamEvent:
        type_ = f"response.{kind}"
        self._sequence += 1
        return StreamEvent(to_json({"type": type_, "sequence_number": self._sequence - 1, **fields}).decode(), type_)
