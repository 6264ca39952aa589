"""Chat: a conversation with a language model, with images, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from client.call import ApiCall, EventCall, body_of
from client.images import ImageSource, image_url

PATH = "/v1/chat/completions"
ChatMessages = str | Sequence[dict[str, Any]]
"""A question, or a conversation in OpenAI's format."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """An answer. `tool_calls` are in OpenAI's format, `raw` is the whole response."""

    text: str
    model: str
    finish_reason: str
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ChatPiece:
    """What a chunk of a streamed answer adds. The last chunks have the reason for the end, and the counts of tokens."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


def chat(
    messages: ChatMessages, *, model: str | None = None, images: Sequence[ImageSource] = (), **fields: Any
) -> ApiCall[ChatReply]:
    """Ask a chat model. `images` belong to the last message; `fields` are further fields of OpenAI's API."""
    body = body_of(model=model, messages=_conversation(messages, images), **fields)
    return ApiCall("POST", PATH, _reply, body)


def stream_chat(
    messages: ChatMessages,
    *,
    model: str | None = None,
    images: Sequence[ImageSource] = (),
    on_wait: Callable[[str], None] | None = None,
    **fields: Any,
) -> EventCall[ChatPiece]:
    """Ask a chat model and read the answer as it is generated.

    `on_wait` gets sentences such as `loading llama, about 12 s left` while the request waits for its model.
    """
    body = body_of(model=model, messages=_conversation(messages, images), **fields)
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    return EventCall("POST", PATH, _piece, body, on_comment=on_wait)


def _conversation(messages: ChatMessages, images: Sequence[ImageSource]) -> list[dict[str, Any]]:
    conversation = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    if not images:
        return conversation
    last = conversation[-1]
    parts = [{"type": "text", "text": last["content"]}] if isinstance(last["content"], str) else [*last["content"]]
    image_parts = [{"type": "image_url", "image_url": {"url": image_url(image)}} for image in images]
    return [*conversation[:-1], {**last, "content": [*parts, *image_parts]}]


def _reply(document: dict[str, Any]) -> ChatReply:
    choice, usage = document["choices"][0], document.get("usage") or {}
    message = choice["message"]
    return ChatReply(
        text=message.get("content") or "",
        model=document["model"],
        finish_reason=choice["finish_reason"],
        reasoning=message.get("reasoning_content"),
        tool_calls=message.get("tool_calls") or [],
        prompt_tokens=usage.get("prompt_tokens", 0),
        completion_tokens=usage.get("completion_tokens", 0),
        raw=document,
    )


def _piece(document: dict[str, Any]) -> ChatPiece:
    choice: dict[str, Any] = next(iter(document.get("choices") or ()), {})
    delta = choice.get("delta") or {}
    return ChatPiece(
        text=delta.get("content") or "",
        reasoning=delta.get("reasoning_content") or "",
        finish_reason=choice.get("finish_reason"),
        usage=document.get("usage"),
        raw=document,
    )
