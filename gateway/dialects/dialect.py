"""What a dialect is made of: routes that translate to tasks and back, and the bases of its requests and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from contract import known_fields
from contract.asgi.errors import ErrorForm
from contract.durations import Duration
from contract.errors import ServeError, UnsupportedFeature
from contract.known_fields import FieldTable
from contract.lazy_model import LazyModel
from contract.omittable import Omittable
from contract.status import DownloadStatus, ModelStatus, Status
from contract.tasks import Request, Task
from gateway.forwarding.model_table import ModelTable


class DialectRequest(LazyModel):
    """The fields that requests in every dialect accept besides their own. Unknown fields are kept, for warnings."""

    model_config = ConfigDict(extra="allow")

    known_fields: ClassVar[FieldTable] = {}
    """What happens to fields of the API that have no effect here, or are refused."""

    keep_alive: Duration = Field(None, allow_inf_nan=False)

    def warnings(self) -> list[str]:
        """A sentence about each field that had no effect."""
        return known_fields.warnings(self, self.known_fields)

    def refuse(self) -> None:
        """Raise UnsupportedFeature if a field asks for something that the table refuses; it names all such fields."""
        if missing := known_fields.requirements(self, self.known_fields):
            fields, hints = known_fields.in_words(missing, self.known_fields)
            message = f"{fields}: Enginehouse does not support this. Leave it out.{hints}"
            raise UnsupportedFeature(message, param=missing[0][0])


class DialectResponse(LazyModel):
    """An answer in a dialect. `warnings` say which fields of the request had no effect."""

    warnings: Omittable[list[str]] = None


class IdentifiedResponse(DialectResponse):
    """An answer with the id of its request, which is filled in after the translation."""

    request_id: str = ""


class TimedResponse(DialectResponse):
    """An answer with durations in nanoseconds, which are filled in after the translation.

    `total_duration` is from the request to this answer; of it, `load_duration` is how long the model took to load.
    `prompt_eval_duration` is the time to a stream's first piece, `eval_duration` that from there to its end, or of a
    whole answer the time of both.
    """

    total_duration: Omittable[int] = None
    load_duration: Omittable[int] = None
    prompt_eval_duration: Omittable[int] = None
    eval_duration: Omittable[int] = None


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """A request for a task that a dialect's request needs.

    `fields` are the client's names of this query's fields, beside those of its route: {"image": "images.2"}.
    `warnings` say what of the client's request had no effect, beside what the request itself can say.
    """

    task: Task[Any, Any]
    request: Request
    fields: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """The task's response to a query, and the model that gave it.

    In `response`, a large array is a short text that stands for it; it can be moved, and not read.
    """

    response: Any
    model: ModelStatus


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of an answer: a model or a text, and in server-sent events its `name`, if it has one."""

    data: BaseModel | str
    name: str | None = None


class EventTranslator(Protocol):
    """Translates the stream of one answer."""

    def chunk(self, chunk: Any) -> Iterable[StreamEvent]:
        """The events for the task's next chunk."""

    def close(self) -> Iterable[StreamEvent]:
        """The events after the last chunk."""

    def fail(self, error: ServeError, request_id: str) -> Iterable[StreamEvent]:
        """The events that say that the answer broke off; nothing follows."""


@dataclass(frozen=True, slots=True)
class DialectRoute:
    """A path of a dialect whose requests become requests for tasks.

    `to_task` may raise a ServeError or pydantic's ValidationError. `from_task` gets the answers in the order of the
    queries; with `partial`, a query that failed has its ServeError there, else the first failure is the answer.
    `events` makes the translator of a stream, for requests whose only query wants one; `framing` is the form of its
    events. Of several routes at a path, the one whose `selector` is a field of the body applies, else the first.
    `fields` are the client's names of the tasks' fields where they differ, for errors: {"prompt": "prompts"}.
    `defaults` are fields whose default is a setting of the section `gateway`: {"steps": "infer_steps"}.
    `example` is a request that works as it is, and `answer` what is answered, shortened. `to_action` is for requests
    that only load or unload a model, such as Ollama's without a prompt; None: the request is one for a task.
    """

    path: str
    summary: str
    request: type[BaseModel]
    response: type[BaseModel]
    to_task: Callable[[Any, ModelTable], Sequence[TaskQuery]]
    from_task: Callable[[Any, Sequence[Any]], BaseModel]
    tasks: tuple[Task[Any, Any], ...]
    example: Mapping[str, Any]
    answer: Mapping[str, Any] | Sequence[Any]
    fields: Mapping[str, str] = field(default_factory=dict)
    events: Callable[[Any], EventTranslator] | None = None
    framing: Literal["sse", "ndjson"] = "sse"
    partial: bool = False
    selector: str | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)
    to_action: Callable[[Any, ModelTable], ActedAnswer | None] | None = None


@dataclass(frozen=True, slots=True)
class ModelAction:
    """Something to do with a model or its workers; `wait`: until that is done. `remove` takes its entry and its files.

    `keep_alive` is the idle timeout in seconds of the worker that is started; None: the configured one.
    """

    kind: Literal["load", "unload", "pin", "unpin", "download", "remove"]
    model: str
    wait: bool = True
    keep_alive: float | None = None


@dataclass(frozen=True, slots=True)
class ActedAnswer:
    """What a request does with a model, and the answer once that is done, at a time in seconds since 1970."""

    action: ModelAction
    response: Callable[[float], BaseModel]


@dataclass(frozen=True, slots=True)
class ControlRoute:
    """A path of a dialect about the models' state: acts on models, then answers from the status.

    Without a `request` model, it takes no body. An action without `wait` makes the answer a 202. `admin`: it needs that
    scope. `progress` makes the lines for each state of the download that a route's only action starts. `by_state`:
    which models are acted on depends on their states. If only one is, the status for the answer has no other.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    response: type[BaseModel]
    to_actions: Callable[[Any, ModelTable], Sequence[ModelAction]]
    from_status: Callable[[Any, Status], BaseModel]
    answer: Mapping[str, Any]
    request: type[BaseModel] | None = None
    example: Mapping[str, Any] | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    admin: bool = False
    progress: Callable[[DownloadStatus], Sequence[BaseModel]] | None = None
    by_state: bool = False


@dataclass(frozen=True, slots=True)
class ApiDialect:
    """Another API. `title` groups its paths in the reference; `seed` is the number of its description, if it has one.

    `errors` is the form of its errors where it differs from that of the paths around it. `json_of_any_type`: its bodies
    are JSON even if their type is missing or that of a form without files, as curl and some clients send it.
    """

    name: str
    title: str
    description: str
    routes: tuple[DialectRoute, ...]
    controls: tuple[ControlRoute, ...] = ()
    seed: str | None = None
    errors: ErrorForm | None = None
    json_of_any_type: bool = False

    @property
    def paths(self) -> frozenset[str]:
        """All of its paths."""
        return frozenset([*(route.path for route in self.routes), *(control.path for control in self.controls)])
