"""Conversations in the form that chat templates take, and the errors for those that a model cannot take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from contract.config import ModelSpec
from contract.errors import BadRequest, ContextTooLong, LoadFailed, ServeError, UnsupportedFeature
from contract.image_loading import sizes_together
from contract.tasks.chat import ChatRequest, ImagePart, Message, OtherPart, TextPart
from workers.registry import engine_names, find_engine

Conversation = list[dict[str, Any]]
"""Messages as chat templates read them; for a vision-language model, each content is a list of parts."""


def require_template(template: Any, spec: ModelSpec, model_type: str) -> Any:
    """Return the template. If there is none, raises LoadFailed with a sentence that says what to do."""
    if template:
        return template
    other_engines = [name for name in engine_names() if model_type in find_engine(name).model_types]
    raise LoadFailed(
        f"{spec.source} has no chat template, which defines how a conversation is written for the model. Use the "
        "instruction-tuned version of the model, or set `options: {chat_template: …}` to a Jinja template."
        + (f" For tasks other than chat, write `engine: {' or '.join(other_engines)}`." if other_engines else "")
    )


def ending_of(request: ChatRequest) -> dict[str, bool]:
    """How the prompt ends: with the beginning of an answer, unless the request wants its last message continued."""
    continues = bool(request.continue_final_message)
    return {
        "add_generation_prompt": not continues and request.add_generation_prompt is not False,
        "continue_final_message": continues,
    }


def role_of(message: Message, template: Any) -> str:
    """The message's role; `developer` becomes `system` if the template does not know it."""
    return "system" if message.role == "developer" and "developer" not in str(template) else message.role


def texts(message: Message) -> list[str]:
    """The texts of a message for a model without vision. Raises UnsupportedFeature if it has any other part."""
    text_parts = [part.text for part in message.parts if isinstance(part, TextPart)]
    if len(text_parts) < len(message.parts):
        raise UnsupportedFeature("This model reads only text. Send only text, or use a vision-language model.")
    return text_parts


def image_sizes(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """Width and height of each image in a conversation, from their headers. Raises BadImage if one cannot be read.

    Also raises it if they have too many pixels in all, since models read them at the same time.
    """
    parts = (part for message in messages for part in message.parts)
    return sizes_together(part.image for part in parts if isinstance(part, ImagePart))


def unsupported_part(part: ImagePart | OtherPart) -> UnsupportedFeature:
    """The error for a part that the model cannot read, such as audio."""
    hint = f" {part.hint}" if isinstance(part, OtherPart) else ""
    return UnsupportedFeature(f"This model does not accept content of type {part.type!r}.{hint}", param="messages")


@contextmanager
def report_refusals() -> Iterator[None]:
    """Turn errors of the chat template or the processor inside the `with` block into BadRequest."""
    from jinja2 import TemplateError

    try:
        yield
    except ServeError:
        raise
    except TemplateError as error:
        raise BadRequest(f"The model's chat template refuses this conversation: {error}.") from None
    except ValueError as error:
        raise BadRequest(f"The model's processor refuses this conversation: {error}") from error


def tokens_left(prompt_tokens: int, context: int | None, *, param: str = "messages") -> int | None:
    """The tokens that the context leaves for the answer; None if `context` is unknown. Raises ContextTooLong."""
    if context is None:
        return None
    if prompt_tokens >= context:
        over = prompt_tokens - context + 1
        raise ContextTooLong(
            f"The prompt has {prompt_tokens} tokens and is too long by {over}: the model's context of {context} tokens "
            "must hold the prompt and at least one token of the answer. "
            + ("Shorten the messages or omit the oldest." if param == "messages" else "Shorten the prompt."),
            param=param,
            details={"prompt_tokens": prompt_tokens, "context": context, "over": over},
        )
    return context - prompt_tokens
