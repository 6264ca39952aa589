"""Reduces a chat conversation to the one question about one image that Moondream can answer."""

from __future__ import annotations

from dataclasses import dataclass

from contract.errors import BadRequest
from contract.media import ImageInput
from contract.tasks.chat import ChatRequest, ImagePart, Message, OtherPart, TextPart
from workers.toolkit.chat.conversation import unsupported_part

_OMITTED_IMAGE = "(another image)"
"""The placeholder for an earlier image, which the model does not see."""


@dataclass(frozen=True, slots=True)
class VisualQuestion:
    """A question, and the image that it is about, if any."""

    text: str
    image: ImageInput | None


def question_of(request: ChatRequest) -> VisualQuestion:
    """The conversation as one question about its newest image.

    Moondream knows no turns and sees one image: earlier turns go before the question as text. Raises BadRequest or
    UnsupportedFeature for a conversation that cannot be reduced to that.
    """
    messages = request.messages
    if messages[-1].role != "user" or not _text(messages[-1]):
        raise BadRequest("The last message must be a user message with a question in it.", param="messages")
    with_images = [message for message in messages if _images(message)]
    shown = with_images[-1] if with_images else None
    images = _images(shown) if shown else []
    if len(images) > 1:
        raise BadRequest(
            f"A message has {len(images)} images, and Moondream sees one at a time. Ask about each image in a request "
            "of its own.",
            param="messages",
        )
    return VisualQuestion(_transcript(messages, shown), images[0] if images else None)


def _transcript(messages: list[Message], shown: Message | None) -> str:
    """A single question as it is, or several turns as a dialogue. `shown` is the message whose image the model sees."""
    instructions = [_text(message) for message in messages if message.role in {"system", "developer"}]
    turns = [message for message in messages if message.role in {"user", "assistant"}]
    if len(turns) == 1:
        return "\n\n".join([*instructions, _text(turns[0])])
    lines = []
    for turn in turns:
        placeholder = [_OMITTED_IMAGE] if _images(turn) and turn is not shown else []
        speaker = "Question" if turn.role == "user" else "Answer"
        lines.append(" ".join([f"{speaker}:", *placeholder, _text(turn)]))
    return "\n\n".join([*instructions, "\n".join(lines)])


def _text(message: Message) -> str:
    return "\n".join(part.text for part in message.parts if isinstance(part, TextPart)).strip()


def _images(message: Message) -> list[ImageInput]:
    for part in message.parts:
        if isinstance(part, OtherPart):
            raise unsupported_part(part)
    return [part.image for part in message.parts if isinstance(part, ImagePart)]
