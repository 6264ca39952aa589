"""Parameters that a request leaves out, filled in from its model's entry (`defaults:`)."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from contract.config import ConfigError, explain
from contract.known_fields import KnownField
from contract.tasks import Request, Task

_NOT_PARAMETERS = {"model", "keep_alive"}


def for_task(task: Task[Any, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The entry's defaults that are fields of the task's request, converted to their types. Raises ConfigError."""
    fields = _fillable_fields(task)
    return {name: _validated(task.request, name, value) for name, value in defaults.items() if name in fields}


def check(tasks: Iterable[Task[Any, Any]], defaults: Mapping[str, Any], features: Container[str]) -> None:
    """Raises ConfigError when a default is a field of none of the tasks, or has a value that its field refuses.

    It also raises ConfigError for a default that needs a feature which is not among the engine's.
    """
    served = list(tasks)
    known = {name for task in served for name in _fillable_fields(task)}
    for name in defaults:
        if name not in known:
            similar = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{similar[0]}`?" if similar else f"available: {', '.join(sorted(known))}"
            raise ConfigError(f"unknown key `defaults.{name}`; {hint}")
    for task in served:
        for name, value in for_task(task, defaults).items():
            known_field = task.request.known_fields.get(name)
            if known_field and known_field.feature and known_field.asks(value):
                _check_feature(known_field, features)


def _check_feature(field: KnownField, features: Container[str]) -> None:
    if field.feature not in features and "*" not in features:
        hint = f" {field.hint}" if field.hint else ""
        raise ConfigError(f"`defaults.{field.name}`: the engine does not support it; leave it out.{hint}")


def fill(request: Request, defaults: Mapping[str, Any]) -> None:
    """Set the fields that a request leaves out or sets to null."""
    for name, value in defaults.items():
        if name not in request.model_fields_set or getattr(request, name) is None:
            setattr(request, name, value)


def _fillable_fields(task: Task[Any, Any]) -> set[str]:
    request: type[Request] = task.request
    return set(request.model_fields) - _NOT_PARAMETERS - request.no_defaults


def _validated(request: type[BaseModel], name: str, value: Any) -> Any:
    field = request.model_fields[name]
    try:
        constrained: Any = Annotated[field.annotation, field]
        return TypeAdapter(constrained).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"`defaults.{name}`: {explain(error.errors()[0], request)}") from None
