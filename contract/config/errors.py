"""Says what is wrong with a configuration, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

Place = tuple[int | str, ...]


class ConfigError(Exception):
    """The configuration is invalid; the message names the key and says what to write instead.

    `problems` are its parts, each with the place in the file: keys and numbers of entries.
    """

    def __init__(self, message: str, problems: Sequence[tuple[Place, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def explain(error: Any, model: type[BaseModel]) -> str:
    """Describe one pydantic error; for an unknown key, suggest the most similar known one."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, error["loc"][:-1])
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(sorted(known))}"
        return f"unknown key `{key}`; {hint}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"`{key}`: {message}" if key else message


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
