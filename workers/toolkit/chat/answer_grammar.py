"""Which grammar the answer to a request must keep to: that of its response format, or of the calls it must make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from contract.errors import UnsupportedFeature
from contract.tasks.chat import ChatRequest
from contract.tasks.chat.tools import ToolUse
from workers.toolkit.chat.answer_value import value_of
from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints import schema_limits, schemas
from workers.toolkit.chat.constraints.grammar import Grammar
from workers.toolkit.chat.dialect import Dialect
from workers.toolkit.chat.reasoning_formats import HARMONY, ReasoningFormat
from workers.toolkit.chat.recipients import ALL, RECIPIENTS, begins_message
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, UnwritableCall

_NO_CALL = r"(?s:[^\s{\[].*)?"
"""Text that does not begin like a call, for models whose calls have no marker of their own."""


@dataclass(slots=True)
class AnswerForm:
    """What an answer must keep to: nothing without a grammar. `param` is the request's field that asks for it."""

    grammar: Grammar | None = None
    param: str = "response_format"
    warnings: list[str] = field(default_factory=list)
    """What of the request the grammar does not hold."""


def form_of(request: ChatRequest, dialect: Dialect, prompt_end: str) -> AnswerForm:
    """The form of the answer to a request. `prompt_end` is the end of its prompt, with control tokens.

    Raises UnsupportedFeature if something that must be held cannot be, and InvalidField for what is no schema.
    """
    form = AnswerForm()
    value = value_of(request)
    if value is not None:
        form.param = value.param
        form.warnings += value.warnings
    calls = _calls(request.tool_use, dialect, form, is_beside_value=value is not None)
    if calls is not None:
        form.param = "tools"
    form.grammar = _combined(request.tool_use, dialect, value.grammar if value else None, calls, prompt_end)
    return form


def _calls(use: ToolUse, dialect: Dialect, form: AnswerForm, *, is_beside_value: bool) -> CallForm | None:
    """The form of the calls, if they must be held: because one must be made, or a tool is strict."""
    is_strict = any(function.strict for function in use.callable)
    if not use.callable or not (use.mode == "required" or is_strict or is_beside_value):
        return None
    schema_limits.check_together([function.parameters for function in use.callable], "tools")
    parameters: dict[str, Any] = {}
    for function in use.callable:
        schema = {"type": "object", **(function.parameters or {})}
        prepared = schemas.prepare(schema, strict=bool(function.strict), field="tools")
        form.warnings += prepared.loosened
        parameters[function.name] = prepared.schema
    strict = frozenset(function.name for function in use.callable if function.strict)
    held = HeldTools(parameters, use.parallel, dialect.template, strict)
    reason = ""
    try:
        written = dialect.tools.form(held) if dialect.tools else None
    except UnwritableCall as error:
        written, reason = None, str(error)
    form.warnings += held.unheld
    if written is None:
        _miss(use, dialect, form, reason, is_beside_value=is_beside_value)
    return written


def _miss(use: ToolUse, dialect: Dialect, form: AnswerForm, why: str, *, is_beside_value: bool) -> None:
    """Refuse a call that must be made and cannot be held, and warn of others."""
    name = dialect.tools.name if dialect.tools else "unknown"
    reason = f"answers cannot be held to these tools in the form {name!r}, in which this model writes calls"
    reason += f": {why}" if why else ""
    if use.mode == "required":
        raise UnsupportedFeature(f"No call can be demanded: {reason}. Send `tool_choice: auto`.", param="tool_choice")
    what = "no tool can be called beside this response_format" if is_beside_value else "`strict` has no effect"
    form.warnings.append(f"tools: {what}, because {reason}.")


def _combined(
    use: ToolUse, dialect: Dialect, value: Grammar | None, calls: CallForm | None, prompt_end: str
) -> Grammar | None:
    if value is None and calls is None:
        return None
    if dialect.thoughts is HARMONY:
        return _in_channels(use, value, calls)
    if dialect.tools is RECIPIENTS and begins_message(prompt_end):
        return _to_recipients(use, value, calls)
    if dialect.thoughts is not None and dialect.thoughts.frame:
        return _in_frame(use, dialect.thoughts, value, calls, prompt_end)
    required = None if calls is None else calls.required(several=use.parallel)
    if required is None or use.mode == "required":
        answer = required or value
    elif value is not None:
        answer = g.either(value, required)
    elif calls is not None and calls.opening:
        is_last = calls.between is None or not use.parallel
        answer = g.calls_in_text(calls.opening, calls.body, only_one=is_last)
    else:
        answer = g.either(g.pattern(_NO_CALL), required)
    return answer if answer is None else _behind_thoughts(dialect.thoughts, answer, prompt_end)


def _in_frame(
    use: ToolUse, thoughts: ReasoningFormat, value: Grammar | None, calls: CallForm | None, prompt_end: str
) -> Grammar:
    """The text, calls, or calls behind a text, for models that write marks around them."""
    frame = thoughts.frame
    assert frame is not None
    opening = g.text("" if prompt_end.endswith(frame.opening) else frame.opening)
    options = []
    if calls is not None:
        required = calls.required(several=use.parallel)
        empty = [opening, g.text(frame.closing)] if frame.needs_text else []
        options.append(g.sequence(*empty, required))
        if use.mode != "required" and value is None:
            options.append(g.sequence(opening, g.until(frame.closing), g.optional(required)))
    if calls is None or use.mode != "required":
        options.append(g.sequence(opening, value or g.free_text()))
    thought = g.until(thoughts.end + frame.turn)
    if not thoughts.is_open_in(prompt_end):
        thought = g.optional(g.sequence(g.text(thoughts.begin), thought))
    return g.sequence(thought, g.either(*options))


def _behind_thoughts(thoughts: ReasoningFormat | None, answer: Grammar, prompt_end: str) -> Grammar:
    if thoughts is None:
        return answer
    if thoughts.is_open_in(prompt_end):
        return g.after_thoughts(thoughts.end, answer)
    behind = g.after_thoughts(thoughts.end, answer, thoughts.begin)
    return g.either(g.sequence(g.text(thoughts.end), answer), behind) if thoughts.may_skip else behind


def _to_recipients(use: ToolUse, value: Grammar | None, calls: CallForm | None) -> Grammar:
    """The messages of functionary: calls, or the answer."""
    options = [calls.required(several=use.parallel)] if calls else []
    if use.mode != "required" or calls is None:
        options.append(g.sequence(g.text(ALL), value or g.free_text()))
    return g.either(*options)


def _in_channels(use: ToolUse, value: Grammar | None, calls: CallForm | None) -> Grammar:
    """The messages of gpt-oss: a thought, then a call or the answer."""
    options = [calls.required(several=False)] if calls else []
    if use.mode != "required" or calls is None:
        options.append(g.sequence(g.text("<|channel|>final<|message|>"), value or g.free_text()))
    thought = g.sequence(g.text(HARMONY.begin), g.until(HARMONY.end), g.text("<|start|>assistant"))
    return g.sequence(g.optional(thought), g.either(*options))
