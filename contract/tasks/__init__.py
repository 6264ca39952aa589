"""The tasks that models perform: one file per task, with its request, its response and its path.

Gateway and worker serve the same tasks at the same paths, so both decode a request the same way.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract import known_fields, multipart
from contract.audio import audio_fields
from contract.durations import Duration
from contract.errors import InvalidField, UnsupportedMedia
from contract.json_parser import parse_json
from contract.known_fields import FieldTable, Requirement
from contract.lazy_model import LazyModel
from contract.limits import Name
from contract.media import image_fields
from contract.omittable import Omittable
from contract.validation import Body, invalid_request, validate_json


class Request(LazyModel):
    """The fields that every task accepts besides its own. Unknown fields are kept, for engines that know them.

    `model` is the name of a model; without it, the task's default one answers. `keep_alive` is how long its worker
    stays after the request: seconds, or a text such as `5m`.
    """

    # A form may bring files in unknown fields; they must be serializable when the request continues as JSON.
    model_config = ConfigDict(extra="allow", ser_json_bytes="base64")

    no_defaults: ClassVar[frozenset[str]] = frozenset()
    """Fields that an entry's `defaults` never fill, because the right value depends on the request."""
    known_fields: ClassVar[FieldTable] = {}
    """What happens to the fields of the APIs that the task's clients are written for."""
    stream_field: ClassVar[str] = "stream"
    """The field that asks for server-sent events."""

    model: Name | None = None
    keep_alive: Duration = Field(None, allow_inf_nan=False)

    def required_features(self) -> frozenset[str]:
        """What this request asks of an engine beyond the plain task; each must be in the engine's `features`."""
        return frozenset()

    def requirements(self) -> list[Requirement]:
        """The fields in use that need a feature of the engine, each with the feature."""
        needs = known_fields.requirements(self, self.known_fields)
        return [*needs, *((name, name) for name in sorted(self.required_features()))]

    def hint(self, requirement: Requirement) -> str:  # noqa: ARG002 - for tasks
        """What to send instead of something that needs a feature; empty if that is clear."""
        return ""

    def warnings(self, also_known: frozenset[str] = frozenset()) -> list[str]:
        """A sentence about each field that had no effect. `also_known` are unknown fields that the engine reads."""
        return known_fields.warnings(self, self.known_fields, also_known)

    def prerequisite(self) -> Prerequisite | None:
        """A request to another model whose response this request needs first, or None. Raises ValidationError."""
        return None

    def apply_prerequisite(self, response: Response) -> None:
        """Put the response to `prerequisite` into this request."""

    @property
    def wants_stream(self) -> bool:
        """Whether the client wants the response as server-sent events."""
        return bool(getattr(self, "stream", False))

    @property
    def wants_pieces(self) -> bool:
        """Whether the client wants a response that is not JSON piece by piece, each as soon as it is ready."""
        return False


class Response(LazyModel):
    """A task's response. Unknown fields are kept.

    `warnings` say which fields of the request had no effect, or another one than the client may expect.
    """

    model_config = ConfigDict(extra="allow")

    warnings: Omittable[list[str]] = None


class EncodedResponse(Response):
    """A response whose body is not JSON, because the request asked for another format."""

    model_config = ConfigDict(ser_json_bytes="base64")

    media_type: str
    content: bytes


Req = TypeVar("Req", bound=Request)
Res = TypeVar("Res", bound=Response)


@dataclass(frozen=True, slots=True)
class Listing:
    """A fixed list that belongs to a task, served at GET `path`: for example the named questions of `analyze`."""

    path: str
    description: str
    items: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Task(Generic[Req, Res]):
    """Something that a model does.

    A task with `chunk` can stream; `fold` then combines all chunks into the whole response, and
    `wants_chunk(request, chunk)` says whether the client gets a chunk (default: every one).
    `media_types` are the types of `EncodedResponse`s that it may have, besides JSON unless `response` is that class.
    `title` is its name on pages (default: its name with a capital letter).
    `array_metadata` names the keys that `Array.metadata` may have in the task's responses. `inputs` and `outputs` are
    the modalities that every model of the task reads and writes: `text`, `image`, `embedding` or `json`. `example` is a
    request for the API reference, which works as it is.
    """

    name: str
    path: str
    request: type[Req]
    response: type[Res]
    chunk: type[BaseModel] | None = None
    fold: Callable[[Iterable[Any]], Res | EncodedResponse] | None = None
    wants_chunk: Callable[[Any, Any], bool] | None = None
    media_types: tuple[str, ...] = ()
    array_metadata: tuple[str, ...] = ()
    listings: tuple[Listing, ...] = ()
    inputs: tuple[str, ...] = ("image",)
    outputs: tuple[str, ...] = ("json",)
    example: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""

    def decode(self, content_type: str, body: bytes) -> Req:
        """Parse the request in a JSON or multipart body.

        Raises UnsupportedMedia, BadRequest (malformed) or InvalidField (its `param` names the field).
        """
        return decode_body(self.request, self.path, content_type, body)


def decode_body(model: type[Body], path: str, content_type: str, body: bytes) -> Body:
    """Parse a JSON or multipart body that was sent to `path`.

    Raises UnsupportedMedia, BadRequest (malformed) or InvalidField (its `param` names the field).
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in {"application/json", "multipart/form-data"}:
        # A missing type is none of both: a web page may send such a request without asking first.
        message = f"{path} needs the Content-Type application/json or multipart/form-data, not {media_type!r}."
        raise UnsupportedMedia(message)
    form = None
    try:
        if media_type == "multipart/form-data":
            form = multipart.parse(content_type, body)
            files = (*image_fields(model), *audio_fields(model))
            return model.model_validate(multipart.fit_to_model(form, model, files))
        return validate_json(model, body)
    except ValidationError as error:
        wrong = invalid_request(error)
        if isinstance(wrong, InvalidField) and issubclass(model, Request):
            wrong = _with_refused(wrong, model, parse_json(body) if form is None else form)
        raise wrong from None


def _with_refused(wrong: InvalidField, model: type[Request], sent: Any) -> InvalidField:
    """The error with the other fields that no engine of ours honours, so that one answer names all that is wrong."""
    names = ", ".join(f"`{name}`" for name in known_fields.refused_in(sent, model.known_fields))
    sentence = f" Only an external server may support {names}."
    return InvalidField(wrong.message + sentence, param=wrong.param) if names else wrong


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """A request that must be answered first, by the model that `field` of the original request names."""

    task: Task[Any, Any]
    request: Request
    field: str


@cache
def all_tasks() -> dict[str, Task[Any, Any]]:
    """Every task by name, found in the files of this folder."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    tasks = (value for module in modules for value in vars(module).values() if isinstance(value, Task))
    return {task.name: task for task in tasks}
