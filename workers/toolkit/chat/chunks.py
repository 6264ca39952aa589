"""The chunks of one streamed answer, in the format of OpenAI's API: each choice's start, pieces and end, and the usage.

Source: platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from contract.tasks.chat import (
    ChatChunk,
    ChatUsage,
    ChunkChoice,
    CompletionTokensDetails,
    Delta,
    FunctionDelta,
    Logprobs,
    PromptTokensDetails,
    TokenLogprob,
    ToolCallDelta,
)
from workers.toolkit.chat.output_parser import OutputPiece, TextPiece
from workers.toolkit.chat.tool_formats.base import WrittenCall
from workers.toolkit.chat.tool_formats.call_pieces import ArgumentsPiece, CallEnd, CallStart


class ChatChunks:
    """Makes the chunks of an answer, which all have one id.

    `id_length` is the length of call ids if the model's chat template prescribes one. `is_legacy` clients sent
    `functions` and expect `function_call`.
    """

    def __init__(self, model: str, *, id_length: int | None = None, is_legacy: bool = False) -> None:
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model
        self._id_length, self._is_legacy = id_length, is_legacy
        self._calls: Counter[int] = Counter()  # the number of calls so far, by choice
        self._started: set[int] = set()

    def begin(self, index: int, text: str = "") -> ChatChunk:
        """The first chunk of a choice."""
        self._started.add(index)
        return self._chunk(index, Delta(role="assistant", content=text))

    def pieces(self, index: int, pieces: Sequence[OutputPiece]) -> Iterator[ChatChunk]:
        """The chunks of some pieces of a choice, in front of which comes its first chunk if they are the first ones."""
        if index not in self._started:
            first = pieces[0] if pieces else None
            is_text = isinstance(first, TextPiece) and not first.is_thought
            yield self.begin(index, first.text if isinstance(first, TextPiece) and is_text else "")
            pieces = pieces[is_text:]
        for piece in pieces:
            if isinstance(piece, WrittenCall):
                yield self._call(index, piece.name, piece.id)
                yield self._arguments(index, json.dumps(piece.arguments, ensure_ascii=False))
            elif isinstance(piece, CallStart):
                yield self._call(index, piece.name, piece.id)
            elif isinstance(piece, ArgumentsPiece):
                yield self._arguments(index, piece.text)
            elif isinstance(piece, CallEnd):
                continue
            elif piece.is_thought:
                yield self._chunk(index, Delta(reasoning_content=piece.text, reasoning=piece.text))
            else:
                yield from self.piece(index, piece.text)

    def piece(self, index: int, text: str) -> Iterator[ChatChunk]:
        """A chunk with a piece of a choice's text; none if the text is empty."""
        if text:
            yield self._chunk(index, Delta(content=text))

    def end(self, index: int, reason: str, stop: str | None = None) -> ChatChunk:
        """The last chunk of a choice, with its finish reason: `stop`, `length` or `tool_calls`.

        `stop` is the stop sequence that ended it.
        """
        reason = "function_call" if self._is_legacy and reason == "tool_calls" else reason
        return self._frame(choices=[ChunkChoice(index=index, delta=Delta(), finish_reason=reason, stop_reason=stop)])

    def report(self, chunk: ChatChunk, logprobs: list[TokenLogprob]) -> None:
        """Put the probabilities of tokens into a chunk of one choice."""
        chunk.choices[0].logprobs = Logprobs(content=logprobs)

    def usage(
        self, prompt_tokens: int, completion_tokens: int, reasoning_tokens: int = 0, cached_tokens: int = 0
    ) -> ChatChunk:
        """The last chunk of the answer, which has the usage in tokens and no choices."""
        usage = usage_of(prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens)
        return self._frame(choices=[], usage=usage)

    def _call(self, index: int, name: str, call_id: str) -> ChatChunk:
        """The beginning of a call: its id and name."""
        named = FunctionDelta(name=name, arguments="")
        if self._is_legacy:
            return self._chunk(index, Delta(function_call=named))
        number = self._calls[index]
        self._calls[index] += 1
        first = ToolCallDelta(index=number, id=call_id or self._new_id(), type="function", function=named)
        return self._chunk(index, Delta(tool_calls=[first]))

    def _arguments(self, index: int, text: str) -> ChatChunk:
        """All or a piece of the arguments of the last call."""
        arguments = FunctionDelta(arguments=text)
        if self._is_legacy:
            return self._chunk(index, Delta(function_call=arguments))
        return self._chunk(index, Delta(tool_calls=[ToolCallDelta(index=self._calls[index] - 1, function=arguments)]))

    def _new_id(self) -> str:
        unique = uuid.uuid4().hex
        return unique[: self._id_length] if self._id_length else f"call_{unique[:24]}"

    def _chunk(self, index: int, delta: Delta) -> ChatChunk:
        return self._frame(choices=[ChunkChoice(index=index, delta=delta)])

    def _frame(self, **content: Any) -> ChatChunk:
        return ChatChunk(id=self._id, created=self._created, model=self._model, **content)


def usage_of(prompt_tokens: int, completion_tokens: int, reasoning_tokens: int, cached_tokens: int) -> ChatUsage:
    """The usage of an answer, in tokens."""
    return ChatUsage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached_tokens),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=reasoning_tokens),
    )
