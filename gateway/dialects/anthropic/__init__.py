"""Anthropic's Messages API, for clients and coding agents that speak it. Models keep the names that they have here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contract.tasks.chat import CHAT, ChatRequest
from contract.tasks.tokenize import TOKENIZE, TokenizeRequest
from gateway.dialects.anthropic import answer
from gateway.dialects.anthropic.answer import MessageResponse, TokensCountResponse
from gateway.dialects.anthropic.conversation import chat_fields
from gateway.dialects.anthropic.errors import ANTHROPIC_ERRORS
from gateway.dialects.anthropic.request import CountTokensRequest, MessagesRequest
from gateway.dialects.dialect import ApiDialect, DialectRoute, TaskAnswer, TaskQuery
from gateway.forwarding.model_table import ModelTable

_NEEDED_TO_THINK = "reasoning"
_NO_EFFORT = "`output_config.effort` had no effect: the model does not think."


def _to_chat(request: MessagesRequest, models: ModelTable) -> Sequence[TaskQuery]:
    fields = chat_fields(request) | _generation(request)
    warnings: tuple[str, ...] = ()
    if (effort := request.output_config and request.output_config.effort) and "reasoning_effort" not in fields:
        model = models.choose(CHAT.name, request.model)
        if models.is_external(model) or _NEEDED_TO_THINK in model.features:
            fields["reasoning_effort"] = effort
        else:
            warnings = (_NO_EFFORT,)
    return [TaskQuery(CHAT, ChatRequest(**fields), warnings=warnings)]


def _generation(request: MessagesRequest) -> dict[str, Any]:
    """The fields of a chat about how the answer is generated."""
    fields: dict[str, Any] = {"max_tokens": request.max_tokens}
    if request.stop_sequences:
        fields["stop"] = request.stop_sequences
    if request.stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    if request.thinking and request.thinking.type != "adaptive":
        effort = (request.output_config and request.output_config.effort) or "medium"
        fields["reasoning_effort"] = "none" if request.thinking.type == "disabled" else effort
    sampling = request.model_dump(include={"temperature", "top_k", "top_p"}, exclude_none=True)
    return fields | sampling


def _to_tokens(request: CountTokensRequest, _: ModelTable) -> Sequence[TaskQuery]:
    """The chat whose prompt is counted."""
    read = ("model", "messages", "tools", "continue_final_message")
    fields = {name: value for name, value in chat_fields(request).items() if name in read}
    if request.thinking and request.thinking.type == "disabled":
        fields["reasoning_effort"] = "none"
    return [TaskQuery(TOKENIZE, TokenizeRequest(**fields))]


def _from_tokens(_: CountTokensRequest, answers: Sequence[TaskAnswer]) -> TokensCountResponse:
    return TokensCountResponse(input_tokens=answers[0].response.count)


def _from_chat(_: MessagesRequest, answers: Sequence[TaskAnswer]) -> MessageResponse:
    response = answers[0].response
    return answer.message(response.choices[0], response.id, response.model, response.usage)


_EXAMPLE: dict[str, Any] = {
    "model": "vlm-best", "max_tokens": 200, "system": "Answer in one sentence.",
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
}  # fmt: skip

ANTHROPIC = ApiDialect(
    name="anthropic",
    title="Anthropic Messages API",
    description="Conversations as Anthropic's clients send them, whole and streamed, with errors in Anthropic's form.",
    errors=ANTHROPIC_ERRORS,
    routes=(
        DialectRoute(
            "/v1/messages", "Continue a conversation", MessagesRequest, MessageResponse, _to_chat, _from_chat, (CHAT,),
            _EXAMPLE,
            {"id": "msg_1", "type": "message", "role": "assistant", "model": "vlm-best",
             "content": [{"type": "text", "text": "Air scatters blue light most."}], "stop_reason": "end_turn",
             "usage": {"input_tokens": 20, "output_tokens": 8}},
            {"stop": "stop_sequences", "reasoning_effort": "thinking", "response_format": "output_config"},
            events=answer.events,
        ),
        DialectRoute(
            "/v1/messages/count_tokens", "Count a conversation's tokens", CountTokensRequest, TokensCountResponse,
            _to_tokens, _from_tokens, (TOKENIZE,), {key: _EXAMPLE[key] for key in ("model", "messages")},
            {"input_tokens": 14},
        ),
    ),
)  # fmt: skip
