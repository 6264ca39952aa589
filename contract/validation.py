"""Validates bodies of JSON, and turns pydantic's validation errors into the API's errors."""

from __future__ import annotations

import re
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from contract.errors import BadRequest, InvalidField
from contract.json_bounds import check_json
from contract.json_parser import WHOLE, parse_checked
from contract.value_rules import kind, rule

Body = TypeVar("Body", bound=BaseModel)

_ERROR_TYPES = frozenset(get_args(ErrorType))
_FIELD = re.compile(r"(?!(?:str|int|float|bool|bytes)$)[a-z_][a-z0-9_]*")

_NAMED = re.compile(r"`([a-z_][a-z0-9_.]*)`")

_NULL = b"null"
_MAX_NAMED = 8
"""How many wrong fields one error names."""


def validate_json(model: type[Body], body: bytes) -> Body:
    """The model that a JSON text describes; a large text is parsed in short steps. A field that is null is not given.

    Raises pydantic's ValidationError, with its words for JSON in both cases, and BadRequest for a text with too many
    values or too much text.
    """
    if len(body) <= WHOLE and _NULL not in body:
        check_json(body)
        return model.model_validate_json(body)
    try:
        return model.model_validate(_given(parse_checked(body)))
    except ValidationError as error:
        details = [_details(problem) for problem in error.errors(include_url=False)]
    except ValueError as error:
        details = [InitErrorDetails(type="json_invalid", loc=(), input=None, ctx={"error": str(error)})]
    raise ValidationError.from_exception_data(model.__name__, details, input_type="json")


def _given(fields: Any) -> Any:
    """The fields of a body without those that are null, by which many clients say that they leave a field out."""
    return {name: value for name, value in fields.items() if value is not None} if isinstance(fields, dict) else fields


def _details(problem: Any) -> InitErrorDetails:
    """An error as it can be raised again."""
    kind = problem["type"] if problem["type"] in _ERROR_TYPES else PydanticCustomError(problem["type"], problem["msg"])
    return InitErrorDetails(type=kind, loc=problem["loc"], input=problem["input"], ctx=problem.get("ctx", {}))


def invalid_request(error: ValidationError) -> BadRequest:
    """The API error for a request that fails validation: it names all wrong fields, and the first in `param`."""
    errors = error.errors(include_url=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        return BadRequest(f"The body is not valid JSON: {errors[0]['msg']}. Send UTF-8 JSON.")
    by_field: dict[Any, list[Any]] = {}
    for problem in errors:
        by_field.setdefault(problem["loc"][:1], []).append(problem)
    wrong = [_explained(problems) for problems in by_field.values()]
    sentences = [f"{message}." for _, message in wrong[:_MAX_NAMED]]
    if len(wrong) > _MAX_NAMED:
        sentences.append(f"{len(wrong) - _MAX_NAMED} more fields are wrong.")
    return InvalidField(" ".join(sentences), param=wrong[0][0])


def _explained(problems: list[Any]) -> tuple[str | None, str]:
    """The path of a wrong field, and a sentence about it, from all errors of the field."""
    telling = _most_telling(problems)
    path = ".".join(_path(telling)) or None
    if telling["type"] == "missing":
        return path, f"`{path}`: this field is required"
    if words := _alternatives(telling, problems) or rule(telling):
        return path, f"`{path}` {words}" if path else f"The body {words}"
    message = str(telling["msg"]).removeprefix("Value error, ")
    if path:
        return path, f"`{path}`: {message}"
    named = _NAMED.match(message)  # a validator of the whole body names the field that it is about
    return named and named[1], message


def _alternatives(telling: Any, problems: list[Any]) -> str | None:
    """What a value may be, if it is of none of the kinds that several members of a union ask for."""
    if not kind(telling["type"]) and telling["type"] != "literal_error":
        return None
    here = [problem for problem in problems if _path(problem) == _path(telling)]
    literals = [problem["ctx"]["expected"] for problem in here if problem["type"] == "literal_error"]
    kinds = " or ".join(dict.fromkeys(filter(None, (kind(problem["type"]) for problem in here))))
    return f"must be {', or '.join(filter(None, [*literals, kinds]))}"


def _most_telling(problems: list[Any]) -> Any:
    """The error that explains most, of those of one field: each member of a union reports errors of its own.

    It is an exceeded limit, or got deepest into the value; at the same depth, it is the first one of the member that
    got furthest along lists, and rather about a value than about a type.
    """
    rank = max(map(_rank, problems))
    first: dict[Any, Any] = {}
    for problem in problems:
        if _rank(problem) == rank:
            first.setdefault(_member(problem), problem)
    return max(first.values(), key=lambda problem: (_place(problem), not problem["type"].endswith("_type")))


def _rank(error: Any) -> tuple[bool, int]:
    return error["type"].endswith("too_long"), len(_path(error))


def _member(error: Any) -> Any:
    """The member of the field's union that reports the error, if it is one."""
    return next((step for step in error["loc"][1:2] if isinstance(step, str)), None)


def _place(error: Any) -> tuple[int, ...]:
    return tuple(step for step in error["loc"] if isinstance(step, int))


def _path(error: Any) -> list[str]:
    """The path to a field, without the type names that pydantic inserts for members of a union."""
    return [str(step) for step in error["loc"] if isinstance(step, int) or _FIELD.fullmatch(step)]
