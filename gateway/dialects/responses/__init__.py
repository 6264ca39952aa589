"""OpenAI's Responses API, which Codex, the Agents SDK, the AI SDK and n8n call by default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contract.tasks.chat import CHAT, ChatRequest
from contract.tasks.tokenize import TOKENIZE, TokenizeRequest
from gateway.dialects.dialect import ApiDialect, DialectRoute, TaskAnswer, TaskQuery
from gateway.dialects.responses import output
from gateway.dialects.responses.conversation import chat_fields
from gateway.dialects.responses.events import ResponseEvents
from gateway.dialects.responses.output import InputTokensCount, ModelResponse
from gateway.dialects.responses.request import InputTokensRequest, ResponsesRequest
from gateway.forwarding.model_table import ModelTable

_NEEDED_TO_THINK = "reasoning"
_NEEDED_TO_TRUNCATE = "truncation"
_NO_EFFORT = "`reasoning.effort` had no effect: the model does not think."
_NO_TRUNCATION = "`truncation` had no effect: this model's engine refuses a conversation that is too long."


def _to_chat(request: ResponsesRequest, models: ModelTable) -> Sequence[TaskQuery]:
    fields = chat_fields(request) | _generation(request)
    warnings: list[str] = []
    if (effort := request.reasoning and request.reasoning.effort) and effort != "none":
        model = models.choose(CHAT.name, request.model)
        if models.is_external(model) or _NEEDED_TO_THINK in model.features:
            fields["reasoning_effort"] = effort
        else:  # clients send it to every model
            warnings.append(_NO_EFFORT)
    elif effort:
        fields["reasoning_effort"] = effort
    if request.truncation == "auto":
        if _NEEDED_TO_TRUNCATE in models.choose(CHAT.name, request.model).features:
            fields["truncation"] = "auto"
        else:  # an external server, whose chats have no such field, or an engine that cannot
            warnings.append(_NO_TRUNCATION)
    return [TaskQuery(CHAT, ChatRequest(**fields), warnings=tuple(warnings))]


def _generation(request: ResponsesRequest) -> dict[str, Any]:
    """The fields of a chat about how the answer is generated."""
    fields: dict[str, Any] = request.model_dump(include={"temperature", "top_p"}, exclude_none=True)
    if request.max_output_tokens:
        fields["max_completion_tokens"] = request.max_output_tokens
    if request.reports_logprobs:
        fields |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0}
    if request.stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return fields


def _to_tokens(request: InputTokensRequest, _: ModelTable) -> Sequence[TaskQuery]:
    """The chat whose prompt is counted."""
    read = ("model", "messages", "tools")
    fields = {name: value for name, value in chat_fields(request).items() if name in read}
    return [TaskQuery(TOKENIZE, TokenizeRequest(**fields))]


def _from_chat(request: ResponsesRequest, answers: Sequence[TaskAnswer]) -> ModelResponse:
    return output.whole(request, answers[0].response)


def _from_tokens(_: InputTokensRequest, answers: Sequence[TaskAnswer]) -> InputTokensCount:
    return InputTokensCount(input_tokens=answers[0].response.count)


_EXAMPLE: dict[str, Any] = {
    "model": "vlm-best",
    "instructions": "Answer in one sentence.",
    "input": "Why is the sky blue?",
}
_ANSWER: dict[str, Any] = {
    "id": "resp_1", "object": "response", "status": "completed", "model": "vlm-best",
    "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "Air scatters blue light most.", "annotations": []}]}],
    "usage": {"input_tokens": 20, "output_tokens": 8, "total_tokens": 28},
}  # fmt: skip
_FIELDS = {
    "messages": "input", "max_completion_tokens": "max_output_tokens", "reasoning_effort": "reasoning",
    "response_format": "text", "logprobs": "include",
}  # fmt: skip

RESPONSES = ApiDialect(
    name="responses",
    title="OpenAI Responses API",
    description="Conversations as items, whole and streamed as typed events, with function tools and thoughts.",
    routes=(
        DialectRoute(
            "/v1/responses", "Continue a conversation of items", ResponsesRequest, ModelResponse, _to_chat, _from_chat,
            (CHAT,), _EXAMPLE, _ANSWER, _FIELDS, events=ResponseEvents,
        ),
        DialectRoute(
            "/v1/responses/input_tokens", "Count the tokens of a conversation of items", InputTokensRequest,
            InputTokensCount, _to_tokens, _from_tokens, (TOKENIZE,), _EXAMPLE,
            {"object": "response.input_tokens", "input_tokens": 14}, _FIELDS,
        ),
    ),
)  # fmt: skip
