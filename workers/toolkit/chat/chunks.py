"""The chunks of one streamed answer, in the format of OpenAI's API: each choice's start, text and end, and the usage.

Source: platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

from contract.tasks.chat import ChatChunk, ChatUsage, ChunkChoice, Delta


class ChatChunks:
    """Makes the chunks of an answer, which all have one id."""

    def __init__(self, model: str) -> None:
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model

    def begin(self, index: int, text: str = "") -> ChatChunk:
        """The first chunk of a choice."""
        return self._chunk(index, Delta(role="assistant", content=text))

    def piece(self, index: int, text: str) -> Iterator[ChatChunk]:
        """A chunk with a piece of a choice's text; none if the text is empty."""
        if text:
            yield self._chunk(index, Delta(content=text))

    def end(self, index: int, reason: str) -> ChatChunk:
        """The last chunk of a choice, with its finish reason: `stop` or `length`."""
        return self._chunk(index, Delta(), reason)

    def usage(self, prompt_tokens: int, completion_tokens: int) -> ChatChunk:
        """The last chunk of the answer, which has the usage in tokens and no choices."""
        usage = ChatUsage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            total_tokens=prompt_tokens + completion_tokens,
        )
        return self._frame(choices=[], usage=usage)

    def _chunk(self, index: int, delta: Delta, reason: str | None = None) -> ChatChunk:
        return self._frame(choices=[ChunkChoice(index=index, delta=delta, finish_reason=reason)])

    def _frame(self, **content: Any) -> ChatChunk:
        return ChatChunk(id=self._id, created=self._created, model=self._model, **content)
