"""chat: text and images in, text out, streamed or whole, like OpenAI's chat completions.

Source: platform.openai.com/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.tasks import Request, Response, Task

MAX_BIASES = 1024


class OpenModel(BaseModel):
    """A part of a request or response; unknown fields are kept."""

    model_config = ConfigDict(extra="allow")


class ImageUrl(OpenModel):
    url: ImageInput
    detail: Name | None = None


class TextPart(OpenModel):
    type: Literal["text"]
    text: Text


class ImagePart(OpenModel):
    type: Literal["image_url"]
    image_url: ImageUrl


class OtherPart(OpenModel):
    """Audio, files and future types of content: kept for engines that support them."""

    type: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")


Part = Annotated[ImagePart | TextPart | OtherPart, Field(union_mode="left_to_right")]
"""The first type that fits is used; pydantic's default would try all of them, and each would copy an image's text."""


class Message(OpenModel):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    # The list comes first: trying it as text would copy the images in it.
    content: Annotated[Items[Part] | Text | None, Field(union_mode="left_to_right")] = None
    name: Name | None = None

    @model_validator(mode="after")
    def _check_parts(self) -> Message:
        for part in self.content if isinstance(self.content, list) else ():
            if isinstance(part, OtherPart) and part.type == "text":
                raise ValueError('a part of type text needs its `text`: {"type": "text", "text": "..."}')
            if isinstance(part, OtherPart) and part.type == "image_url":
                raise ValueError('a part of type image_url needs {"type": "image_url", "image_url": {"url": "..."}}')
        return self

    @property
    def parts(self) -> list[TextPart | ImagePart | OtherPart]:
        """The content as a list, plain text included."""
        if isinstance(self.content, str):
            return [TextPart(type="text", text=self.content)]
        return list(self.content or [])


class StreamOptions(OpenModel):
    include_usage: bool = False


class ChatRequest(Request):
    """All of OpenAI's fields; `required_features` names those in use that an engine may not support."""

    messages: Items[Message] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1, le=128)
    stop: Name | Items[Name] | None = None
    seed: int | None = None
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: dict[str, Any] | None = None
    tools: Items[dict[str, Any]] | None = None
    tool_choice: Name | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: Items[dict[str, Any]] | None = None
    function_call: Name | dict[str, Any] | None = None
    modalities: Items[Name] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    reasoning_effort: Name | None = None
    web_search_options: dict[str, Any] | None = None
    verbosity: Name | None = None
    service_tier: Name | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    user: Name | None = None

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _check_logit_bias(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > MAX_BIASES:
            raise ValueError(f"send at most {MAX_BIASES} tokens")
        return value

    @field_validator("stop")
    @classmethod
    def _check_stop(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and (len(value) > 16 or not all(value)):
            raise ValueError("send at most 16 stop sequences, none of them empty")
        return value

    @property
    def limit(self) -> int | None:
        """The maximum number of tokens to generate; OpenAI's newer field wins."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> list[str]:
        """Stop sequences: generation ends at the first of them."""
        return [self.stop] if isinstance(self.stop, str) and self.stop else list(self.stop or [])

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def required_features(self) -> frozenset[str]:
        sent = _OPTIONAL & self.model_fields_set
        needs = {name for name in sent if getattr(self, name) not in _NEUTRAL.get(name, (None, [], {}, False, 0))}
        parts = [part for message in self.messages if not isinstance(message.content, str) for part in message.parts]
        if any(isinstance(part, ImagePart) for part in parts):
            needs.add("images")
        needs |= {part.type for part in parts if isinstance(part, OtherPart)}
        if any(message.role in {"tool", "function"} for message in self.messages):
            needs.add("tools")
        return frozenset(needs)


_OPTIONAL = frozenset((
    "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "response_format", "tools",
    "tool_choice", "functions", "function_call", "modalities", "audio", "prediction", "reasoning_effort",
    "web_search_options", "verbosity",
))  # fmt: skip
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "response_format": (None, {"type": "text"}),
    "tool_choice": (None, "none", "auto"),
    "function_call": (None, "none", "auto"),
    "modalities": (None, [], ["text"]),
}
"""Values of optional fields that ask for nothing special."""


class Delta(OpenModel):
    """What a chunk adds. Absent fields are omitted, not null: OpenAI's client sums deltas and fails on null."""

    role: Literal["assistant"] | None = None
    content: str | None = None

    @model_serializer(mode="wrap")
    def _omit_nulls(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if value is not None}


class ChunkChoice(OpenModel):
    index: int
    delta: Delta
    finish_reason: str | None = None


class ChatUsage(OpenModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatChunk(Response):
    """A piece of the response. The last one has `usage` and no choices; it is sent only if the client asked for it."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None


class AssistantMessage(OpenModel):
    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None


class Choice(OpenModel):
    index: int
    message: AssistantMessage
    finish_reason: str
    logprobs: dict[str, Any] | None = None


class ChatResponse(Response):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage | None = None


def fold(chunks: Iterable[ChatChunk]) -> ChatResponse:
    """Combine all chunks into the whole response."""
    texts: dict[int, list[str]] = {}
    reasons: dict[int, str] = {}
    last: ChatChunk | None = None
    usage: ChatUsage | None = None
    for last in chunks:
        usage = last.usage or usage
        for choice in last.choices:
            texts.setdefault(choice.index, []).append(choice.delta.content or "")
            reasons[choice.index] = choice.finish_reason or reasons.get(choice.index, "stop")
    assert last is not None, "an engine's chat method must yield at least one chunk"
    choices = [
        Choice(index=index, message=AssistantMessage(content="".join(parts)), finish_reason=reasons[index])
        for index, parts in sorted(texts.items())
    ]
    return ChatResponse(id=last.id, created=last.created, model=last.model, choices=choices, usage=usage)


def wants_chunk(request: ChatRequest, chunk: ChatChunk) -> bool:
    """Whether to send a streamed chunk: the one with the usage only if the client asked for it."""
    return chunk.usage is None or bool(chunk.choices) or request.include_usage


CHAT = Task(
    "chat", "/v1/chat/completions", ChatRequest, ChatResponse, chunk=ChatChunk, fold=fold, wants_chunk=wants_chunk
)
