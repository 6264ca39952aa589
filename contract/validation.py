"""Turns pydantic's validation errors into the API's errors."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from contract.errors import BadRequest, InvalidField

_FIELD = re.compile(r"(?!(?:str|int|float|bool|bytes)$)[a-z_][a-z0-9_]*")

_MAX_NAMED = 8
"""How many wrong fields one error names."""


def invalid_request(error: ValidationError) -> BadRequest:
    """The API error for a request that fails validation: it names all wrong fields, and the first in `param`."""
    errors = error.errors(include_url=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        return BadRequest(f"The body is not valid JSON: {errors[0]['msg']}. Send UTF-8 JSON.")
    # Each member of a union reports an error of its own; the one that got deepest into the value explains most.
    by_field: dict[Any, list[Any]] = {}
    for problem in errors:
        by_field.setdefault(problem["loc"][:1], []).append(problem)
    wrong = [_explained(max(problems, key=_rank)) for problems in by_field.values()]
    sentences = [f"`{param}`: {message}." if param else f"{message}." for param, message in wrong[:_MAX_NAMED]]
    if len(wrong) > _MAX_NAMED:
        sentences.append(f"{len(wrong) - _MAX_NAMED} more fields are wrong.")
    return InvalidField(" ".join(sentences), param=wrong[0][0])


def _explained(problem: Any) -> tuple[str | None, str]:
    """The path of a wrong field, and what is wrong with it."""
    message = str(problem["msg"]).removeprefix("Value error, ")
    return ".".join(_path(problem)) or None, "this field is required" if problem["type"] == "missing" else message


def _rank(error: Any) -> tuple[bool, int, bool]:
    """How much an error explains: exceeded limits most, then depth; at the same depth, values more than types."""
    return error["type"].endswith("too_long"), len(_path(error)), not error["type"].endswith("_type")


def _path(error: Any) -> list[str]:
    """The path to a field, without the type names that pydantic inserts for members of a union."""
    return [str(step) for step in error["loc"] if isinstance(step, int) or _FIELD.fullmatch(step)]
