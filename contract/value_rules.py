"""What a value must be, in words, by the type of pydantic's error: for requests and for the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KINDS = {
    "string": "a string",
    "int": "an integer",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "an object",
    "model": "an object",
    "mapping": "an object",
}
"""The kinds of values, by what the types of errors about them begin with."""
_KIND_ERRORS = ("_type", "_parsing", "_number", "_from_float")
_RULES = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be more than {gt}",
    "less_than": "must be less than {lt}",
    "int_parsing_size": "is too large a number",
    "string_too_short": "must have at least {min_length} {characters}",
    "string_too_long": "must have at most {max_length} {characters}",
    "too_short": "must have at least {min_length} {items}",
    "too_long": "must have at most {max_length} {items}",
}


def kind(error_type: str, kinds: Mapping[str, str] = KINDS) -> str | None:
    """The kind of value that is asked for; None if the error is about something else."""
    if not error_type.endswith(_KIND_ERRORS):
        return None
    return next((words for start, words in kinds.items() if error_type.startswith(start)), None)


def rule(problem: Any, kinds: Mapping[str, str] = KINDS) -> str | None:
    """What one of pydantic's errors asks for, after the name of the field; None if its own message is the best."""
    error_type, context = problem["type"], problem.get("ctx", {})
    if words := kind(error_type, kinds):
        return f"must be {words}"
    if error_type == "literal_error":
        return f"must be {context['expected']}"
    if not (template := _RULES.get(error_type)):
        return None
    length = context.get("max_length", context.get("min_length"))
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    return template.format(
        **shown,
        characters="character" if length == 1 else "characters",
        items="item" if length == 1 else "items",
    )
