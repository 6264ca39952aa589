"""The value that an answer must be, as `response_format` or a field of another server asks for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from contract.errors import InvalidField
from contract.tasks.chat import ChatRequest
from contract.tasks.chat.guided import GuidedForm
from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints import schema_limits, schemas
from workers.toolkit.chat.constraints.grammar import Grammar

_MAX_CHARACTERS = 20_000
_MAX_COMBINED = 8
"""Patterns may be combined with & and ~, which takes exponentially long."""
_DIRECTIVE = re.compile(r"%(json|regex|lark|llguidance)\b")


@dataclass(frozen=True, slots=True)
class AnswerValue:
    """The grammar of a value, the request's field that asks for it, and what of it the grammar does not hold."""

    grammar: Grammar
    param: str
    warnings: list[str] = field(default_factory=list)


def value_of(request: ChatRequest) -> AnswerValue | None:
    """The value that the request asks for; None if it asks for text.

    Raises UnsupportedFeature for what must be held and cannot be, and InvalidField for what is no schema, expression or
    grammar, or for several forms at once.
    """
    forms = request.guided_forms
    wanted = request.response_format
    schema = None if wanted is None else wanted.constraint
    names = [*(["response_format"] if schema is not None else []), *(form.field for form in forms)]
    if len(names) > 1:
        raise InvalidField(f"An answer has one form. Send only one of {', '.join(names)}.", param=names[1])
    if wanted is not None and schema is not None:
        return _json(schema, "response_format", strict=wanted.is_strict)
    return _guided(forms[0]) if forms else None


def _guided(form: GuidedForm) -> AnswerValue:
    match form.kind:
        case "schema":
            return _json(form.content, form.field, strict=False)
        case "choice":
            schema_limits.check({"enum": form.content}, form.field)
            return AnswerValue(g.either(*(g.literal(choice) for choice in form.content)), form.field)
        case "regex":
            schema_limits.check({"pattern": form.content}, form.field)
            return AnswerValue(g.pattern(form.content), form.field)
    _check_grammar(form.content, form.field)
    return AnswerValue(g.foreign(form.content), form.field)


def _check_grammar(content: str, name: str) -> None:
    """Refuse what could take long to compile in a grammar, and schemas, which have limits of their own."""
    if len(content) > _MAX_CHARACTERS:
        raise InvalidField(f"A grammar has at most {_MAX_CHARACTERS:,} characters. Send a smaller one.", param=name)
    if directive := _DIRECTIVE.search(content):
        raise InvalidField(f"A grammar cannot contain {directive[0]}. Send a schema as `response_format`.", param=name)
    if sum(map(content.count, "&~")) > _MAX_COMBINED:
        raise InvalidField(f"A grammar can have at most {_MAX_COMBINED} of the signs & and ~.", param=name)


def _json(schema: Any, name: str, *, strict: bool) -> AnswerValue:
    prepared = schemas.prepare(schema, strict=strict, field=name)
    return AnswerValue(g.json_value(prepared.schema), name, prepared.loosened)
