"""The chunks of one reply, as OpenAI's API streams them: each choice's beginning, its text, its end, and the usage.

Source: platform.openai.com/docs/api-reference/chat-streaming.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

from contract.tasks.chat import ChatChunk, ChatUsage, ChunkChoice, Delta


class ChatChunks:
    """Makes the chunks, all under one id."""

    def __init__(self, model: str) -> None:
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = model

    def begin(self, index: int, text: str = "") -> ChatChunk:
        """The first chunk of a choice."""
        return self._chunk(index, Delta(role="assistant", content=text))

    def piece(self, index: int, text: str) -> Iterator[ChatChunk]:
        """A piece of its text, if there is any."""
        if text:
            yield self._chunk(index, Delta(content=text))

    def end(self, index: int, reason: str) -> ChatChunk:
        """The last chunk of a choice: `stop` or `length`."""
        return self._chunk(index, Delta(), reason)

    def usage(self, read: int, written: int) -> ChatChunk:
        """The last chunk of all: what it took, in tokens."""
        usage = ChatUsage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)
        return self._frame(choices=[], usage=usage)

    def _chunk(self, index: int, delta: Delta, reason: str | None = None) -> ChatChunk:
        return self._frame(choices=[ChunkChoice(index=index, delta=delta, finish_reason=reason)])

    def _frame(self, **content: Any) -> ChatChunk:
        return ChatChunk(id=self._id, created=self._created, model=self._model, **content)
