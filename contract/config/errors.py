"""Says what is wrong with a configuration, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from contract.credentials import holds_secrets, is_secret
from contract.value_rules import KINDS, rule

Place = tuple[int | str, ...]
_KINDS_IN_YAML = {
    **KINDS,
    "string": "a text",
    "int": "a whole number",
    **dict.fromkeys(("list", "tuple"), "a list, such as [a, b]"),
    **dict.fromkeys(("dict", "model", "mapping"), "a mapping, such as {key: value}"),
}
PATTERNS = {
    r"^[^\s#]+$": "must be a name without spaces and without #",
    r"^(auto|cuda(:\d+)?|mps|cpu|mlx)$": "must be auto, cpu, cuda, cuda:1 (the second GPU), mps or mlx",
    r"^sha256:[0-9a-f]{64}$": 'must be `sha256:` and what `printf %s "$KEY" | sha256sum` prints',
    r"^postgres(ql)?://": "must be the URL of a PostgreSQL database, such as postgresql://user@host/name",
    "^/": "must be a path that begins with /",
    r"^[A-Za-z_-]+$": "must be letters, _ and -",
}
"""What a text must be, by the pattern that it must fit."""
_KINDS = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}
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
    name = f"`{key}` " if key else ""
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, error["loc"][:-1])
        close = difflib.get_close_matches(str(loc[-1]), known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(sorted(known))}"
        return f"{where}unknown key `{key}`; {hint}"
    found = "" if error["type"] == "missing" or _is_secret(loc) else f", not {_shown(error['input'])}"
    if error["type"] == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        return f"{where}{name}{PATTERNS.get(pattern, f'must fit the pattern {pattern}')}{found}"
    if needed := "is missing" if error["type"] == "missing" else rule(error, _KINDS_IN_YAML):
        return f"{where}{name}{needed}{found}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}`{key}`: {message}" if key else f"{where}{message}"


def _is_secret(loc: Place) -> bool:
    """Whether no message shows the value at a location, since messages are logged."""
    return any(is_secret(str(key)) or holds_secrets(str(key)) for key in loc)


def kind_of(value: Any) -> str:
    """What a value of a YAML document is, in words."""
    return _KINDS.get(type(value), f"{value!r}")


_LISTS: Mapping[Place, tuple[str, str]] = {("models",): ("model", "id"), ("security", "api_keys"): ("key", "name")}
"""Lists whose entries have names: what an entry is, and which of its keys has the name."""


def _entry(loc: Place, document: Any) -> tuple[str, Place]:
    """The entry of a list that a location is in, as the beginning of a sentence, and the location inside it."""
    for place, (what, key) in _LISTS.items():
        size = len(place)
        if loc[:size] == place and len(loc) > size and isinstance(number := loc[size], int):
            entry = _at(document, loc[: size + 1])
            id_ = entry.get(key) if isinstance(entry, Mapping) else None
            whole = f"entry {number + 1} of `{'.'.join(map(str, place))}`"
            rest = loc[size + 1 :]
            return (f"{what} {id_}: " if id_ else f"{whole}: " if rest else f"{whole} "), rest
    return "", loc


def _at(document: Any, place: Place) -> Any:
    """The value at a place; None if there is none."""
    for part in place:
        try:
            document = document[part]
        except (LookupError, TypeError):
            return None
    return document


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
