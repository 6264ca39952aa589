"""What can be asked: one file a task, each with its request, its response and its path.

Gateway and worker speak the same tasks at the same paths, so a request is decoded alike at both ends.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract import multipart
from contract.errors import BadRequest, InvalidField, UnsupportedMedia


class Request(BaseModel):
    """What every task takes beside its own fields. Unknown fields are kept, for engines that know them."""

    # A form may bring files that the task does not know; written as JSON, they must have some form.
    model_config = ConfigDict(extra="allow", ser_json_bytes="base64")

    no_defaults: ClassVar[frozenset[str]] = frozenset()
    """Fields that an entry's `defaults` leave alone, since what is right depends on the request."""

    model: str | None = None
    keep_alive: float | None = Field(None, ge=-1, allow_inf_nan=False)

    def needs(self) -> frozenset[str]:
        """Fields in use that only some engines can honour; each must be in the engine's `features`."""
        return frozenset()

    def first(self) -> tuple[Task[Any, Any], Request, str] | None:
        """The task and request whose answer this one needs first, and the field that says so; None: it stands alone."""
        return None

    def follow(self, answer: Response) -> None:
        """Take in the answer to `first`."""

    @property
    def wants_stream(self) -> bool:
        """Whether the answer is to come as server-sent events."""
        return bool(getattr(self, "stream", False))


class Response(BaseModel):
    """An answer. Unknown fields are kept."""

    model_config = ConfigDict(extra="allow")


Req = TypeVar("Req", bound=Request)
Res = TypeVar("Res", bound=Response)


@dataclass(frozen=True, slots=True)
class Task(Generic[Req, Res]):
    """Something that a model does. With `chunk` set it may stream; `fold` makes the whole answer of the chunks.

    `shows(request, chunk)` says whether a streamed chunk is sent to who made that request; without it all are.
    """

    name: str
    path: str
    request: type[Req]
    response: type[Res]
    chunk: type[BaseModel] | None = None
    fold: Callable[[Iterable[Any]], Res] | None = None
    shows: Callable[[Any, Any], bool] | None = None

    def decode(self, content_type: str, body: bytes | bytearray) -> Req:
        """The request in a JSON or multipart body.

        Raises UnsupportedMedia, BadRequest (malformed) or InvalidField (named in `param`).
        """
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in {"application/json", "multipart/form-data", ""}:
            raise UnsupportedMedia(f"{self.path} takes application/json or multipart/form-data, not {kind}.")
        try:
            if kind == "multipart/form-data":
                return self.request.model_validate(_structured(self.request, multipart.parse(content_type, body)))
            return self.request.model_validate_json(body)
        except ValidationError as error:
            raise _refusal(error) from None


def _structured(request: type[Request], form: dict[str, Any]) -> dict[str, Any]:
    """A form has text alone: what belongs into a field that takes no text, and looks like JSON, is read as that."""
    for name, value in form.items():
        field = request.model_fields.get(name)
        if field and isinstance(value, str) and value[:1] in {"{", "["} and not _takes_text(field.annotation):
            with suppress(ValueError):  # the field's own complaint says more
                form[name] = json.loads(value)
    return form


def _takes_text(annotation: Any) -> bool:
    return annotation is str or (get_origin(annotation) in {Union, UnionType} and str in get_args(annotation))


def _refusal(error: ValidationError) -> BadRequest:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return BadRequest(f"The body is not valid JSON: {first['msg']}. Send UTF-8 JSON.")
    param = ".".join(str(part) for part in first["loc"]) or None
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "missing":
        message = "this field is required"
    return InvalidField(f"`{param}`: {message}." if param else f"{message}.", param=param)


@cache
def all_tasks() -> dict[str, Task[Any, Any]]:
    """Every task by its name, found in the files of this folder."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    found = (value for module in modules for value in vars(module).values() if isinstance(value, Task))
    return {task.name: task for task in found}
