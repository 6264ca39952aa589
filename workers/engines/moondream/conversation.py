"""Makes of a conversation the one question that Moondream answers."""

from __future__ import annotations

from dataclasses import dataclass

from contract.errors import BadRequest
from contract.media import ImageInput
from contract.tasks.chat import ChatRequest, ImagePart, Message, OtherPart, TextPart
from workers.toolkit.chat.conversation import refusal

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
            raise refusal(part)
    return [part.image_url.url for part in message.parts if isinstance(part, ImagePart)]
