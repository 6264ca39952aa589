"""Turns the requests of Ollama's API into chats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from contract.media import ImageInput
from contract.tasks.chat import CHAT
from gateway.dialects.ollama.request import (
    GenerationRequest,
    OllamaCall,
    OllamaChatRequest,
    OllamaGenerateRequest,
    OllamaMessage,
)
from gateway.forwarding.model_table import ModelTable

LATEST = ":latest"
"""The tag that clients of Ollama add to names without one."""


_OF_CHATS = ("think", "logprobs", "top_logprobs", "truncation")
"""Fields that ask for nothing when a text is continued, since they are refused otherwise."""


def known_name(name: str, models: ModelTable) -> str:
    """The name without `:latest`, unless a model is called so."""
    return name if models.find(name) else name.removesuffix(LATEST)


def chat_of(request: OllamaChatRequest, models: ModelTable) -> dict[str, Any]:
    """The fields of a chat for a conversation."""
    fields = _generation(request, models) | {"messages": list(_turns(request.messages))}
    return fields | ({"tools": request.tools} if request.tools else {})


def chat_of_prompt(request: OllamaGenerateRequest, models: ModelTable) -> dict[str, Any]:
    """The fields of a chat for a text."""
    system = [{"role": "system", "content": request.system}] if request.system else []
    said = {"role": "user", "content": _content(request.prompt, request.images or ())}
    return _generation(request, models) | {"messages": [*system, said]}


def completion_of(request: OllamaGenerateRequest, models: ModelTable) -> dict[str, Any]:
    """The fields of a completion for a text that is continued as it is; like Ollama's, it has no limit of its own."""
    generation = {name: value for name, value in _generation(request, models).items() if name not in _OF_CHATS}
    fields = {"max_tokens": -1, **generation, "prompt": request.prompt}
    return fields | ({"suffix": request.suffix} if request.suffix else {})


def _generation(request: GenerationRequest, models: ModelTable) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": known_name(request.model, models)}
    if request.stream is not False:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    if request.options:
        fields |= request.options.chat_fields()
    if request.format == "json":
        fields["response_format"] = {"type": "json_object"}
    elif request.format:
        schema = {"name": "answer", "schema": request.format}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.truncate and can_truncate(request.model, models):
        fields["truncation"] = "auto"
    asked = request.model_dump(include={"think", "logprobs", "top_logprobs"}, exclude_none=True)
    return fields | asked


def can_truncate(name: str, models: ModelTable) -> bool:
    """Whether the model leaves out the oldest messages of a conversation that is too long."""
    return "truncation" in models.choose(CHAT.name, known_name(name, models)).features


def _turns(messages: Sequence[OllamaMessage]) -> Iterator[dict[str, Any]]:
    """The messages. Calls without ids get some, and results those of the calls that they answer."""
    open_calls: list[tuple[str, str]] = []  # the names and ids of calls without a result so far
    count = 0
    for message in messages:
        turn: dict[str, Any] = {"role": message.role, "content": _content(message.content or "", message.images or ())}
        if message.thinking:
            turn["reasoning_content"] = message.thinking
        if message.tool_calls:
            calls = [_call(call, count + number) for number, call in enumerate(message.tool_calls)]
            count += len(calls)
            open_calls = [(call["function"]["name"], call["id"]) for call in calls]
            turn["tool_calls"] = calls
        elif message.role == "tool":
            turn |= _answered(message, open_calls)
        yield turn


def _call(call: OllamaCall, number: int) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id or f"call_{number}", "type": "function", "function": function}


def _answered(message: OllamaMessage, open_calls: list[tuple[str, str]]) -> dict[str, Any]:
    """Which call a result answers: the one with its id, else the first open one of the tool, else the first one."""
    name = {"name": message.tool_name} if message.tool_name else {}
    if message.tool_call_id:
        return {"tool_call_id": message.tool_call_id, **name}
    of_tool = [call for call in open_calls if call[0] == message.tool_name]
    answered = next(iter([*of_tool, *open_calls]), None)
    if answered is None:
        return name
    open_calls.remove(answered)
    return {"tool_call_id": answered[1], **name}


def _content(text: str, images: Sequence[ImageInput]) -> Any:
    if not images:
        return text
    parts: list[Any] = [{"type": "image_url", "image_url": {"url": image}} for image in images]
    return [*parts, {"type": "text", "text": text}] if text else parts
