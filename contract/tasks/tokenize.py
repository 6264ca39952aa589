"""tokenize: the tokens of a text, or of a conversation as the model reads it, like vLLM's `/tokenize`.

A text is read without a chat template. A conversation is read with it, with its tools and images.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

from contract.known_fields import FieldTable, Requirement, honoured, ignored
from contract.limits import Items, Name, Text
from contract.omittable import Omittable
from contract.tasks import Request, Response, Task
from contract.tasks.chat import ChatRequest, Message, Tool, features

_OF_CHAT = (
    "messages", "tools", "reasoning_effort", "add_generation_prompt", "continue_final_message", "chat_template_kwargs",
)  # fmt: skip


class TokenizeRequest(Request):
    """A `prompt`, or `messages` with the fields of a chat that change its prompt."""

    known_fields: ClassVar[FieldTable] = {
        **honoured("vLLM", "prompt messages tools add_generation_prompt continue_final_message chat_template_kwargs"),
        **honoured("vLLM", "add_special_tokens return_token_strs"),
        **honoured("OpenAI", "reasoning_effort"),
        **ignored("vLLM", "chat_template mm_processor_kwargs"),
    }

    prompt: Text | None = None
    messages: Items[Message] | None = Field(None, min_length=1)
    tools: Items[Tool] | None = None
    reasoning_effort: Name | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def _check_input(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("send either a text as `prompt`, or a conversation as `messages`")
        return self

    @property
    def chat(self) -> ChatRequest | None:
        """The chat whose prompt is meant; None for a text."""
        if self.messages is None:
            return None
        return ChatRequest(**{name: value for name in _OF_CHAT if (value := getattr(self, name)) is not None})

    def requirements(self) -> list[Requirement]:
        chat = self.chat
        return chat.requirements() if chat else []

    def required_features(self) -> frozenset[str]:
        return frozenset(feature for _, feature in self.requirements())

    def hint(self, requirement: Requirement) -> str:
        return features.hint_of(requirement)


class TokenizeResponse(Response):
    """`count` tokens by their ids, and with `return_token_strs` as the vocabulary writes them.

    `max_model_len` is the model's context in tokens, null if it is unknown.
    """

    count: int
    max_model_len: int | None
    tokens: list[int]
    token_strs: Omittable[list[str]] = None


TOKENIZE = Task(
    "tokenize",
    "/v1/tokenize",
    TokenizeRequest,
    TokenizeResponse,
    inputs=("text",),
    outputs=("text",),  # numbers are none of the modalities that clients know
    example={"prompt": "A cat sleeps."},
)
