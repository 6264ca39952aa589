"""Which grammar the answer to a request must keep to: that of its response format."""

from __future__ import annotations

from contract.tasks.chat import ChatRequest
from workers.toolkit.chat.constraints import grammar, schemas
from workers.toolkit.chat.constraints.grammar import Grammar


def grammar_of(request: ChatRequest) -> tuple[Grammar | None, list[str]]:
    """The grammar, or None if the answer is free, and warnings about what it does not hold.

    Raises UnsupportedFeature for a strict schema of which something cannot be held, and InvalidField for no schema.
    """
    form = request.response_format
    schema = None if form is None else form.constraint
    if form is None or schema is None:
        return None, []
    prepared = schemas.prepare(schema, strict=form.is_strict, field="response_format")
    return grammar.json_value(prepared.schema), prepared.loosened
