"""What a chat request asks of an engine beyond plain chat.

An engine lists in `features` what its models can do: `images`, `tools`, `structured_output` (JSON that fits a schema,
and calls that must be made), `reasoning` (a model that thinks), `template` (fields that reach the chat template),
`prefill` (continuing the last message), `sampling` (`top_k` and the like), `penalties`, `logit_bias`, `logprobs` and
`token_control` (which tokens end an answer).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from contract.tasks.chat.messages import ImagePart, Message, OtherPart
from contract.tasks.chat.response_format import ResponseFormat
from contract.tasks.chat.tools import Tool, ToolUse

Requirement = tuple[str, str]
"""A field of the request, and the feature that it needs."""

_NOTHING: tuple[Any, ...] = (None, False, 0, [], {})

_FIELDS: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("top_k", "sampling", (None, 0, -1)),
    ("min_p", "sampling", _NOTHING),
    ("repetition_penalty", "sampling", (None, 1)),
    ("repeat_penalty", "sampling", (None, 1)),
    ("frequency_penalty", "penalties", _NOTHING),
    ("presence_penalty", "penalties", _NOTHING),
    ("logit_bias", "logit_bias", _NOTHING),
    ("logprobs", "logprobs", _NOTHING),
    ("top_logprobs", "logprobs", _NOTHING),
    ("min_tokens", "token_control", _NOTHING),
    ("stop_token_ids", "token_control", _NOTHING),
    ("ignore_eos", "token_control", _NOTHING),
    ("chat_template_kwargs", "template", _NOTHING),
    ("continue_final_message", "prefill", _NOTHING),
    ("add_generation_prompt", "prefill", (None, True)),
    ("modalities", "modalities", (*_NOTHING, ["text"])),
    ("audio", "audio", _NOTHING),
    ("web_search_options", "web_search_options", (None,)),
    ("verbosity", "verbosity", (None, "medium")),
)
"""A field, the feature that it needs, and the values with which it asks for nothing."""


def of_fields(request: BaseModel) -> Iterator[Requirement]:
    """The fields that need a feature whenever they have another value than a neutral one."""
    for name, feature, neutral in _FIELDS:
        if name in request.model_fields_set and getattr(request, name) not in neutral:
            yield name, feature


def of_tools(tools: Sequence[Tool], use: ToolUse) -> Iterator[Requirement]:
    """What the tools need. Tools that the model must not call need nothing."""
    if use.mode != "none" or not any(tool.function for tool in tools):
        yield from (("tools", f"{tool.type[:32]}_tools") for tool in tools if tool.type != "function")
    names = ("functions", "function_call") if use.is_legacy else ("tools", "tool_choice")
    if use.mode != "none":
        yield names[0], "tools"
        if any(function.strict for function in use.callable):
            yield names[0], "structured_output"
    if use.mode == "required":
        yield names[1], "structured_output"


def of_format(form: ResponseFormat | None) -> Iterator[Requirement]:
    """What the form of the answer needs."""
    if form is not None and form.type != "text":
        is_json = form.constraint is not None
        yield "response_format", "structured_output" if is_json else f"{form.type[:32]}_format"


def of_messages(messages: Iterable[Message]) -> Iterator[Requirement]:
    """What the conversation so far needs."""
    for message in messages:
        if message.role in {"tool", "function"} or message.tool_calls or message.function_call:
            yield "messages", "tools"
        for part in message.parts if not isinstance(message.content, str) else ():
            if isinstance(part, ImagePart):
                yield "messages", "images"
            elif isinstance(part, OtherPart):
                yield "messages", part.type
