"""The response of a chat, whole or in chunks, in OpenAI's format. Source: its reference of chat completions."""

from __future__ import annotations

from typing import Literal

from contract.omittable import Omittable
from contract.tasks import Response
from contract.tasks.chat.open_model import OpenModel


class TopLogprob(OpenModel):
    """A token that the model could have chosen, and the natural logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(OpenModel):
    """A token of the answer, the logarithm of its probability before sampling, and the most probable others."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob]


class Logprobs(OpenModel):
    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class FunctionDelta(OpenModel):
    name: Omittable[str] = None
    arguments: Omittable[str] = None


class ToolCallDelta(OpenModel):
    """A piece of the call number `index`: first its id, type and name, then its arguments."""

    index: int
    id: Omittable[str] = None
    type: Omittable[str] = None
    function: Omittable[FunctionDelta] = None


class Delta(OpenModel):
    """What a chunk adds. `reasoning` repeats `reasoning_content`, since clients know one name or the other."""

    role: Omittable[Literal["assistant"]] = None
    content: Omittable[str] = None
    reasoning_content: Omittable[str] = None
    reasoning: Omittable[str] = None
    tool_calls: Omittable[list[ToolCallDelta]] = None
    function_call: Omittable[FunctionDelta] = None


class ChunkChoice(OpenModel):
    """A piece of an answer. `stop_reason`, which is vLLM's field, is the stop sequence that ended it, if one did."""

    index: int
    delta: Delta
    logprobs: Omittable[Logprobs] = None
    finish_reason: str | None = None
    stop_reason: Omittable[str | int] = None


class CompletionTokensDetails(OpenModel):
    reasoning_tokens: int = 0


class PromptTokensDetails(OpenModel):
    """`cached_tokens` are those of an earlier prompt, which are not read again."""

    cached_tokens: int = 0


class ChatUsage(OpenModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: Omittable[PromptTokensDetails] = None
    completion_tokens_details: Omittable[CompletionTokensDetails] = None


class ChatChunk(Response):
    """A piece of the response. The last one has `usage` and no choices; it is sent only if the client asked for it."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None


class AnsweredFunction(OpenModel):
    """The function to call, with its arguments as JSON text."""

    name: str
    arguments: str


class AnsweredCall(OpenModel):
    """A call of a tool in an answer."""

    id: str
    type: str = "function"
    function: AnsweredFunction


class AssistantMessage(OpenModel):
    """The answer. `content` is null beside calls of tools; `reasoning` repeats `reasoning_content`."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning_content: Omittable[str] = None
    reasoning: Omittable[str] = None
    tool_calls: Omittable[list[AnsweredCall]] = None
    function_call: Omittable[AnsweredFunction] = None


class Choice(OpenModel):
    """An answer; `finish_reason` is `stop`, `length`, `tool_calls` or, for old clients, `function_call`.

    `stop_reason`, which is vLLM's field, is the stop sequence that ended it, if one did.
    """

    index: int
    message: AssistantMessage
    finish_reason: str
    stop_reason: Omittable[str | int] = None
    logprobs: Logprobs | None = None


class ChatResponse(Response):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage | None = None
