"""Says what is wrong with a configuration, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

Place = tuple[int | str, ...]
_MUST_BE = {
    "missing": "is missing",
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "tuple": "must be a list, such as [a, b]",
    "list": "must be a list, such as [a, b]",
    "dict": "must have keys and values, such as {{key: value}}",
    "model": "must have keys and values, such as {{key: value}}",
    "mapping": "must have keys and values, such as {{key: value}}",
    "string_type": "must be a text",
    "string_pattern_mismatch": "must fit the pattern {pattern}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be more than {gt}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be one of {expected}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
}
"""What a value must be, by what pydantic's type of an error begins with."""
_LONGEST = 60


class ConfigError(Exception):
    """The configuration is invalid; the message names the key and says what to write instead.

    `problems` are its parts, each with the place in the file: keys and numbers of entries.
    """

    def __init__(self, message: str, problems: Sequence[tuple[Place, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def explain(error: Any, model: type[BaseModel], document: Any = None) -> str:
    """Describe one pydantic error; for an unknown key, suggest the most similar known one.

    In an error of `models` in the whole `document`, the entry is named by its id.
    """
    where, loc = _entry(error["loc"], document)
    key = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, error["loc"][:-1])
        close = difflib.get_close_matches(str(loc[-1]), known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(sorted(known))}"
        return f"{where}unknown key `{key}`; {hint}"
    if rule := next((rule for kind, rule in _MUST_BE.items() if error["type"].startswith(kind)), None):
        found = "" if error["type"] == "missing" else f", not {_shown(error['input'])}"
        return f"{where}`{key}` {rule.format(**error.get('ctx', {}))}{found}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}`{key}`: {message}" if key else f"{where}{message}"


def _entry(loc: tuple[Any, ...], document: Any) -> tuple[str, tuple[Any, ...]]:
    """The entry of `models` that a location is in, as the beginning of a sentence, and the location inside it."""
    if len(loc) < 2 or loc[0] != "models" or not isinstance(loc[1], int):
        return "", loc
    models = document.get("models") if isinstance(document, Mapping) else None
    entry = models[loc[1]] if isinstance(models, list) and loc[1] < len(models) else None
    id_ = entry.get("id") if isinstance(entry, Mapping) else None
    return f"model {id_}: " if id_ else f"entry {loc[1] + 1} of `models`: ", loc[2:] or ("it",)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys of the (possibly nested) section at `loc`."""
    current: type[BaseModel] = model
    for part in loc:
        if isinstance(part, str) and part in current.model_fields:
            current = _model_in(current.model_fields[part].annotation) or current
    return list(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for arg in getattr(annotation, "__args__", ()) if (m := _model_in(arg))), None)
