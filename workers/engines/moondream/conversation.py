"""From a conversation to the one question that Moondream answers, and from its answer to a stream's chunks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contract.errors import BadRequest, UnsupportedFeature
from contract.media import ImageInput
from contract.tasks.chat import (
    ChatChunk,
    ChatRequest,
    ChatUsage,
    ChunkChoice,
    Delta,
    ImagePart,
    Message,
    OtherPart,
    TextPart,
)

_ANOTHER = "(another picture)"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and about which picture, if any."""

    text: str
    picture: ImageInput | None


def question_of(request: ChatRequest) -> Question:
    """The last turn's question about the newest picture. What was said before stands before it, as text.

    Moondream has no turns of its own, and sees one picture. Raises BadRequest or UnsupportedFeature.
    """
    messages = request.messages
    if messages[-1].role != "user" or not _text(messages[-1]):
        raise BadRequest("The last message must be a user's with a question in it.", param="messages")
    seen = [message for message in messages if _pictures(message)]
    pictures = _pictures(seen[-1]) if seen else []
    if len(pictures) > 1:
        raise BadRequest(
            f"One message has {len(pictures)} pictures, and Moondream sees one at a time. Ask about each in a request "
            "of its own.",
            param="messages",
        )
    return Question(_written(messages, seen[-1] if seen else None), pictures[0] if pictures else None)


def _written(messages: list[Message], shown: Message | None) -> str:
    """A lone question as it is; else all turns. `shown` is the message whose picture the model sees."""
    told = [_text(message) for message in messages if message.role in {"system", "developer"}]
    turns = [message for message in messages if message.role in {"user", "assistant"}]
    if len(turns) == 1:
        return "\n\n".join([*told, _text(turns[0])])
    lines = []
    for turn in turns:
        words = [_ANOTHER] if _pictures(turn) and turn is not shown else []
        name = "Question" if turn.role == "user" else "Answer"
        lines.append(" ".join([f"{name}:", *words, _text(turn)]))
    return "\n\n".join([*told, "\n".join(lines)])


def _text(message: Message) -> str:
    return "\n".join(part.text for part in message.parts if isinstance(part, TextPart)).strip()


def _pictures(message: Message) -> list[ImageInput]:
    for part in message.parts:
        if isinstance(part, OtherPart):
            raise UnsupportedFeature(f"This model does not take content of type {part.type!r}.", param="messages")
    return [part.image_url.url for part in message.parts if isinstance(part, ImagePart)]


class Reply:
    """The chunks of one answer."""

    def __init__(self, model: str) -> None:
        self._frame: dict[str, Any] = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }

    def begin(self, index: int) -> ChatChunk:
        """The first chunk of a choice."""
        return self._chunk(index, Delta(role="assistant", content=""))

    def piece(self, index: int, text: str) -> Iterator[ChatChunk]:
        """A piece of its text, if there is any."""
        if text:
            yield self._chunk(index, Delta(content=text))

    def end(self, index: int, reason: str) -> ChatChunk:
        """The last chunk of a choice: `stop` or `length`."""
        return self._chunk(index, Delta(), reason)

    def usage(self, read: int, written: int) -> ChatChunk:
        """What it took, in tokens."""
        usage = ChatUsage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)
        return ChatChunk(**self._frame, choices=[], usage=usage)

    def _chunk(self, index: int, delta: Delta, reason: str | None = None) -> ChatChunk:
        return ChatChunk(**self._frame, choices=[ChunkChoice(index=index, delta=delta, finish_reason=reason)])
