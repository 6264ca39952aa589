"""What a chat request asks of an engine beyond plain chat.

An engine lists in `features` what its models can do: `images`, `tools`, `structured_output` (JSON that fits a schema,
and calls that must be made), `reasoning` (a model that thinks), `template` (fields that reach the chat template),
`prefill` (continuing the last message), `sampling` (`top_k` and the like), `penalties`, `logit_bias`, `logprobs`,
`token_control` (which tokens end an answer) and `truncation` (leaving out the oldest messages).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from contract.known_fields import Requirement
from contract.tasks.chat import guided
from contract.tasks.chat.guided import StructuredOutputs
from contract.tasks.chat.messages import ImagePart, Message, OtherPart, instead_of
from contract.tasks.chat.response_format import ResponseFormat
from contract.tasks.chat.tools import Tool, ToolUse


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


def of_structured_outputs(form: StructuredOutputs | None) -> Iterator[Requirement]:
    """What vLLM's field for the form of the answer needs."""
    if form is not None and guided.of_structured_outputs(form):
        yield "structured_outputs", "structured_output"
    if form is not None and form.structural_tag:
        yield "structured_outputs", "structural_tag"


def hint_of(requirement: Requirement) -> str:
    """What to send instead of a part of a message; empty for other requirements."""
    field, feature = requirement
    return instead_of(feature) if field == "messages" and feature not in {"images", "tools"} else ""


def of_messages(messages: Iterable[Message]) -> Iterator[Requirement]:
    """What the conversation so far needs."""
    for message in messages:
        if message.role in {"tool", "function"} or message.tool_calls or message.function_call:
            yield "messages", "tools"
        for part in message.parts if message.images or not isinstance(message.content, str) else ():
            if isinstance(part, ImagePart):
                yield "messages", "images"
            elif isinstance(part, OtherPart):
                yield "messages", part.type
