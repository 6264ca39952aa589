"""Conversations as chat templates take them, and what is said of those that a model cannot take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contract.config import ModelSpec
from contract.errors import BadRequest, ContextTooLong, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.chat import ImagePart, Message, OtherPart, TextPart
from workers.registry import engine_names, find_engine

Conversation = list[dict[str, Any]]
"""Messages as chat templates read them; in a model with vision each content is a list of parts."""


def required(template: Any, spec: ModelSpec, model_type: str) -> Any:
    """The template. Raises LoadFailed, with what to do, where there is none."""
    if template:
        return template
    others = [name for name in engine_names() if model_type in find_engine(name).model_types]
    raise LoadFailed(
        f"{spec.source} has no chat template, which says how to write a conversation for the model. Use the "
        "model's instruction-tuned sibling, or set `options: {chat_template: …}` to a Jinja template."
        + (f" For another task than chat, write `engine: {' or '.join(others)}`." if others else "")
    )


def role(message: Message, template: Any) -> str:
    """The message's role, in words that the template knows."""
    return "system" if message.role == "developer" and "developer" not in str(template) else message.role


def texts(message: Message) -> list[str]:
    """What a model without vision reads of a message. Raises UnsupportedFeature for anything but text."""
    found = [part.text for part in message.parts if isinstance(part, TextPart)]
    if len(found) < len(message.parts):
        raise UnsupportedFeature("This model reads text alone. Send text, or ask a model with vision.")
    return found


def refusal(part: ImagePart | OtherPart) -> UnsupportedFeature:
    """Why a part that is neither text nor a picture is not taken."""
    return UnsupportedFeature(f"This model does not take content of type {part.type!r}.", param="messages")


@contextmanager
def refusals() -> Iterator[None]:
    """Raises BadRequest where the chat template or the processor refuses what is read within."""
    from jinja2 import TemplateError

    try:
        yield
    except ServeError:
        raise
    except TemplateError as error:
        raise BadRequest(f"The model's chat template refuses this conversation: {error}.") from None
    except ValueError as error:
        raise BadRequest(f"The model's processor refuses this conversation: {error}") from error


def room(tokens: int, context: int | None) -> int | None:
    """How many tokens are left for the answer to a prompt of `tokens`; None if `context` is. Raises ContextTooLong."""
    if context is None:
        return None
    if tokens >= context:
        over = tokens - context + 1
        raise ContextTooLong(
            f"The prompt has {tokens} tokens. The model's context of {context} must hold it and at least one "
            f"of the answer: it is too long by {over}. Shorten the messages or leave out the oldest.",
            param="messages",
            details={"prompt_tokens": tokens, "context": context, "over": over},
        )
    return context - tokens
