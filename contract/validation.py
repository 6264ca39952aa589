"""Turns pydantic's validation errors into the API's errors."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from contract.errors import BadRequest, InvalidField

_FIELD = re.compile(r"(?!(?:str|int|float|bool|bytes)$)[a-z_][a-z0-9_]*")


def invalid_request(error: ValidationError) -> BadRequest:
    """The API error for a request that fails validation; InvalidField names the first wrong field in `param`."""
    errors = error.errors(include_url=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        return BadRequest(f"The body is not valid JSON: {errors[0]['msg']}. Send UTF-8 JSON.")
    # Each member of a union reports an error of its own; the one that got deepest into the value explains most.
    same_field = (candidate for candidate in errors if candidate["loc"][:1] == errors[0]["loc"][:1])
    deepest = max(same_field, key=_rank)
    param = ".".join(_path(deepest)) or None
    message = str(deepest["msg"]).removeprefix("Value error, ")
    if deepest["type"] == "missing":
        message = "this field is required"
    return InvalidField(f"`{param}`: {message}." if param else f"{message}.", param=param)


def _rank(error: Any) -> tuple[bool, int, bool]:
    """How much an error explains: exceeded limits most, then depth; at the same depth, values more than types."""
    return error["type"].endswith("too_long"), len(_path(error)), not error["type"].endswith("_type")


def _path(error: Any) -> list[str]:
    """The path to a field, without the type names that pydantic inserts for members of a union."""
    return [str(step) for step in error["loc"] if isinstance(step, int) or _FIELD.fullmatch(step)]
