"""The response of OpenAI's Responses API, and the items of its output.

Source: platform.openai.com/docs/api-reference/responses/object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from contract.errors import ServeError
from contract.lazy_model import LazyModel
from contract.tasks.chat import ChatResponse, ChatUsage, TokenLogprob
from contract.unique_ids import unique_id
from gateway.dialects.dialect import DialectResponse
from gateway.dialects.responses.request import ResponsesRequest

Item = dict[str, Any]
"""An item of the output."""
ResponseStatus = Literal["completed", "incomplete", "failed", "in_progress", "queued", "cancelled"]


class InputTokensDetails(LazyModel):
    """`cached_tokens` are those of an earlier prompt, which are not read again."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(LazyModel):
    reasoning_tokens: int = 0


class ResponseUsage(LazyModel):
    """Tokens of the prompt and of the answer."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ModelResponse(DialectResponse):
    """The model's answer as items, with the settings that it was made with."""

    id: str
    object: Literal["response"] = "response"
    created_at: float
    completed_at: float | None = None
    status: ResponseStatus
    background: bool = False
    error: dict[str, Any] | None = None
    incomplete_details: dict[str, Any] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    model: str
    output: Sequence[Item] = ()
    parallel_tool_calls: bool = True
    previous_response_id: str | None = None
    reasoning: dict[str, Any]
    service_tier: str | None = None
    store: bool = True
    temperature: float | None = None
    text: dict[str, Any]
    tool_choice: Any = "auto"
    tools: Sequence[dict[str, Any]] = ()
    top_logprobs: int | None = None
    top_p: float | None = None
    truncation: str = "disabled"
    usage: ResponseUsage | None = None
    user: str | None = None
    metadata: dict[str, Any]


class InputTokensCount(DialectResponse):
    """The number of tokens of a conversation, as its model reads it."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


def begin(request: ResponsesRequest, response_id: str, created: float, model: str) -> ModelResponse:
    """The response before anything is generated."""
    text = request.text.model_dump(by_alias=True, exclude_none=True) if request.text else {}
    reasoning = request.reasoning or None
    choice = request.tool_choice
    return ModelResponse(
        id=response_id,
        created_at=created,
        status="in_progress",
        background=bool(request.background),
        instructions=request.instructions,
        max_output_tokens=request.max_output_tokens,
        model=model,
        parallel_tool_calls=request.parallel_tool_calls is not False,
        previous_response_id=request.previous_response_id,
        reasoning={"effort": reasoning and reasoning.effort, "summary": reasoning and reasoning.summary},
        store=request.store is not False,
        temperature=request.temperature,
        text={"format": {"type": "text"}, **text},
        tool_choice=choice.model_dump(exclude_none=True) if isinstance(choice, BaseModel) else choice or "auto",
        tools=[tool.model_dump() for tool in request.functions],
        top_logprobs=request.top_logprobs,
        top_p=request.top_p,
        truncation=request.truncation or "disabled",
        user=request.user,
        metadata=request.metadata or {},
    )


def usage_of(usage: ChatUsage | None) -> ResponseUsage | None:
    """The usage of a chat in this API's form."""
    if usage is None:
        return None
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    thoughts = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=cached),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=thoughts),
        total_tokens=usage.total_tokens,
    )


def whole(request: ResponsesRequest, chat: ChatResponse) -> ModelResponse:
    """A chat's only choice as a response."""
    unique = new_id()
    response = begin(request, f"resp_{unique}", chat.created, chat.model)
    choice = chat.choices[0]
    status = finish(response, choice.finish_reason)
    said, items = choice.message, []
    if thoughts := said.reasoning_content or said.reasoning:
        items.append(reasoning_item(f"rs_{unique}", thoughts))
    if said.content or not (said.tool_calls or items):
        logprobs = (choice.logprobs.content or []) if choice.logprobs else []
        items.append(message_item(f"msg_{unique}", said.content or "", logprobs, status=status))
    for number, call in enumerate(said.tool_calls or ()):
        call_of = (call.id, call.function.name, call.function.arguments)
        items.append(call_item(f"fc_{unique}_{number}", *call_of, status="completed"))
    response.output, response.usage = items, usage_of(chat.usage)
    response.completed_at = chat.created if status == "completed" else None
    return response


def finish(response: ModelResponse, reason: str | None) -> Literal["completed", "incomplete"]:
    """Set how a response ended, given the chat's finish reason. Returns the status of its last message."""
    if reason in {"length", "content_filter"}:
        why = "max_output_tokens" if reason == "length" else "content_filter"
        response.status, response.incomplete_details = "incomplete", {"reason": why}
        return "incomplete"
    response.status = "completed"
    return "completed"


def fail(response: ModelResponse, error: ServeError) -> None:
    """Set why a response failed."""
    code = "rate_limit_exceeded" if error.status == 429 else error.code if error.status < 500 else "server_error"
    response.status, response.error = "failed", {"code": code, "message": error.message}


def new_id() -> str:
    """What the ids of a response and of its items have in common.

    It is not the chat's: external servers may number theirs, and a stored response must not replace another.
    """
    return unique_id()


def message_item(
    id_: str, text: str | None, logprobs: Sequence[TokenLogprob] = (), *, status: str = "completed"
) -> Item:
    """A message of the assistant; without content if `text` is None."""
    content = [] if text is None else [text_part(text, logprobs)]
    return {"id": id_, "type": "message", "role": "assistant", "status": status, "content": content}


def text_part(text: str, logprobs: Sequence[TokenLogprob] = ()) -> Item:
    """The text of a message."""
    return {
        "type": "output_text",
        "text": text,
        "annotations": [],
        "logprobs": [logprob.model_dump() for logprob in logprobs],
    }


def reasoning_item(id_: str, thoughts: str | None, *, status: str = "completed") -> Item:
    """Thoughts; without content if they are None."""
    content = [] if thoughts is None else [reasoning_part(thoughts)]
    return {"id": id_, "type": "reasoning", "status": status, "summary": [], "content": content}


def reasoning_part(thoughts: str) -> Item:
    """The text of thoughts."""
    return {"type": "reasoning_text", "text": thoughts}


def call_item(id_: str, call_id: str, name: str, arguments: str, *, status: str) -> Item:
    """A call of a function."""
    call = {"call_id": call_id, "name": name, "arguments": arguments}
    return {"id": id_, "type": "function_call", "status": status, **call}
