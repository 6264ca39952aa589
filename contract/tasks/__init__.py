"""What can be asked: one file a task, each with its request, its response and its path.

Gateway and worker speak the same tasks at the same paths, so a request is decoded alike at both ends.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

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

    def required_features(self) -> frozenset[str]:
        """Fields in use that only some engines can honour; each must be in the engine's `features`."""
        return frozenset()

    def prerequisite(self) -> tuple[Task[Any, Any], Request, str] | None:
        """The task and request whose answer this one needs first, and the field that says so; None: it stands alone."""
        return None

    def apply_prerequisite(self, answer: Response) -> None:
        """Take in the answer to `prerequisite`."""

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

    `wants_chunk(request, chunk)` says whether a streamed chunk is sent to who made that request; without it all are.
    """

    name: str
    path: str
    request: type[Req]
    response: type[Res]
    chunk: type[BaseModel] | None = None
    fold: Callable[[Iterable[Any]], Res] | None = None
    wants_chunk: Callable[[Any, Any], bool] | None = None

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
            raise invalid_request(error) from None


def _structured(request: type[Request], form: dict[str, Any]) -> dict[str, Any]:
    """A form has text and files alone: lists and objects are read from JSON, and one thing may stand for a list of one.

    A field that takes text as well gets text where that is no JSON.
    """
    for name in form.keys() & request.model_fields.keys():
        kinds, given = _kinds(request.model_fields[name].annotation), form[name]
        if kinds & {list, dict}:
            value = [_from_json(part) for part in given] if isinstance(given, list) else _from_json(given)
            one = kinds <= {list, type(None)} and not isinstance(value, list)
            form[name] = [value] if one else value
    return form


def _from_json(part: Any) -> Any:
    if isinstance(part, str) and part[:1] in {"{", "["}:
        with suppress(ValueError, RecursionError):  # the field's own complaint says more
            return json.loads(part)
    return part


def _kinds(annotation: Any) -> frozenset[type]:
    """What a field takes, as far as a form may have to be read for it: lists, objects, and whatever else."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return frozenset({dict})
    origin = get_origin(annotation)
    if origin in {list, tuple}:
        return frozenset({list})
    if origin in {None, dict, Literal}:
        return frozenset({origin or annotation})
    first = get_args(annotation)[:1] if origin is Annotated else get_args(annotation)
    return frozenset().union(*map(_kinds, first))


def invalid_request(error: ValidationError) -> BadRequest:
    """What to tell a client whose request is not valid: the first field that is wrong."""
    errors = error.errors(include_url=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        return BadRequest(f"The body is not valid JSON: {errors[0]['msg']}. Send UTF-8 JSON.")
    # Where a field may be one of several things, each of them complains: who has read the most of it knows best.
    told = max((one for one in errors if one["loc"][:1] == errors[0]["loc"][:1]), key=lambda one: len(_steps(one)))
    param = ".".join(_steps(told)) or None
    message = str(told["msg"]).removeprefix("Value error, ")
    if told["type"] == "missing":
        message = "this field is required"
    return InvalidField(f"`{param}`: {message}." if param else f"{message}.", param=param)


def _steps(error: Any) -> list[str]:
    """The way to a field, without the names of types that pydantic puts in where there are several."""
    return [str(step) for step in error["loc"] if isinstance(step, int) or _FIELD.fullmatch(step)]


_FIELD = re.compile(r"(?!(?:str|int|float|bool|bytes)$)[a-z_][a-z0-9_]*")


@cache
def all_tasks() -> dict[str, Task[Any, Any]]:
    """Every task by its name, found in the files of this folder."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    found = (value for module in modules for value in vars(module).values() if isinstance(value, Task))
    return {task.name: task for task in found}
