"""What a model family is: an `Engine` with one method per task, plain and synchronous.

Concurrency lives outside. The batcher calls a method with calls that fit together, on one thread, and the method yields
each call's answer (or chunks of it, or its error) once it has it. A method that works in steps may instead take its
calls from a `Feed`, and let new ones join between two steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.lazy_model import LazyModel
from contract.status import ModelFacts
from contract.tasks import Request, Task
from workers.step_meter import StepMeter

Req = TypeVar("Req", bound=Request)


class Options(LazyModel):
    """An entry's `options`. Engines subclass it; unknown keys are configuration errors.

    `max_batch` lowers the engine's own limit on calls per batch; `batch_window_ms` is how long a batch waits for more
    calls before it starts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_batch: int | None = Field(None, ge=1)
    batch_window_ms: float = Field(0, ge=0, le=1000)


@dataclass(frozen=True, slots=True)
class Device:
    """Where a model runs. The manager chooses; workers never detect devices.

    `kind` is `cuda`, `mps`, `mlx` or `cpu`. On CUDA the process sees only its own device, so `torch` is `cuda:0`.
    `memory`: the bytes of it that models may have in all; None if that is unknown.
    """

    kind: str
    dtype: str = "auto"
    memory: int | None = None

    @property
    def torch(self) -> str:
        """The device's name in torch."""
        return {"cuda": "cuda:0", "mps": "mps"}.get(self.kind, "cpu")


@dataclass(eq=False)
class Call(Generic[Req]):
    """One request while an engine works on it."""

    request: Req
    id: str = ""
    alone: bool = False  # the request may have crashed a worker before: it shares its batch with no other
    done: int = 0
    total: int = 0
    warnings: list[str] = field(default_factory=list)
    """Sentences about what had no effect. The next answer to the client has them."""
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def cancelled(self) -> bool:
        """Whether the client has disconnected: stop at the next step."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Tell the engine, from any thread, that the answer is no longer needed."""
        self._cancelled.set()

    def progress(self, done: int, total: int) -> None:
        """Report how far the work is, in the engine's own steps."""
        self.done, self.total = done, total


class Feed(Generic[Req]):
    """Where a method with `joins=True` gets its calls: the first ones at its start, new ones between its steps."""

    def __init__(self, limit: int, more: Callable[[int], list[Call[Req]]]) -> None:
        self.limit = limit
        """The most calls at work at once: the engine's own limit, or the entry's lower one."""
        self._more = more

    def take(self, room: int) -> list[Call[Req]]:
        """Up to `room` calls to start now, oldest first; an empty list if no waiting call fits. Never blocks."""
        return self._more(room) if room > 0 else []


@dataclass(frozen=True, slots=True)
class Joins:
    """Whether a request joins the steps of those at work. Without a reason why it does not, it does."""

    why_not: str = ""

    def __str__(self) -> str:
        return f"no, because {self.why_not}" if self.why_not else "yes"


Output = BaseModel | ServeError | None
"""What a method yields for a call: a chunk, a whole response, an error, or None at the end of the call's stream."""

Method = Callable[..., Iterator[tuple[Call[Any], Output]]]


@dataclass(frozen=True, slots=True)
class ServedTask:
    """How an engine serves a task. `via_chat` is set where the worker asks the model's chat instead of a `method`.

    `beside`: on another thread than the model's, so that it need not wait for answers at work.
    """

    task: Task[Any, Any]
    method: str
    max_batch: int
    group: Callable[[Any], Any] | None
    joins: bool = False
    via_chat: ServedTask | None = None
    beside: bool = False


Group = Callable[[Any], Any] | None
_MARK = "__serves__"


def serves(
    task: Task[Any, Any], *, max_batch: int = 1, group: Group = None, joins: bool = False, beside: bool = False
) -> Callable[[Method], Method]:
    """Mark a method `(self, calls: list[Call]) -> Iterator[(call, chunk | response | ServeError)]` as serving a task.

    The method gets up to `max_batch` calls at once. Only calls with equal `group(request)` share a batch; `group` must
    be cheap: it runs on the event loop. A method with several marks gets calls for all of their tasks in one batch.

    What a method yields for a call:

    - a task without chunks: one response or one ServeError, which ends the call.
    - a streaming task: any number of chunks of any of the calls in turn, then `(call, None)` as soon as that call is
      complete, so that it need not wait for longer ones in its batch. A ServeError ends the call too, and the end of
      the method ends all remaining calls. Always stream: the app folds the chunks for clients that want the whole
      response; chunks that the client did not ask for (`Task.wants_chunk`, e.g. the usage) it withholds.

    If one item fails, yield its ServeError and go on. An exception fails the whole batch: calls without any answer yet
    then run again, each alone. A call that is `cancelled` needs no further answer: drop it between steps, and return
    when none is left (the batcher closes the generator at its next `yield` anyway).

    With `beside` the method runs on a thread of its own, at the same time: it must not touch the model, nor what the
    others change.

    With `joins` the method is `(self, feed: Feed) -> Iterator[…]` and takes its calls itself: `feed.take(room)` as soon
    as it starts (one call is waiting then), and again between its steps, with `room` for as many as it can take. It
    returns when it has no work left and the feed is empty.

    - All of this holds for calls that join later. So keep their failures from the others: catch what reading a new
      prompt raises and yield `failures.to_serve_error(error)` for that call. An exception ends the streams of all.
    - While a call waits that does not fit (of another method or group, or one that must run alone), the feed gives none
      that arrived after it: the calls at work finish, then the waiting one runs. So neither can starve the other.
    - At most `feed.limit` calls are unfinished at any time.
    """

    def mark(method: Method) -> Method:
        marks = getattr(method, _MARK, ())
        setattr(method, _MARK, (*marks, ServedTask(task, method.__name__, max_batch, group, joins, beside=beside)))
        return method

    return mark


class Engine:
    """A model family. Import heavy libraries inside `load`, and list them in `imports` for standby processes."""

    Options: ClassVar[type[Options]] = Options
    features: ClassVar[frozenset[str]] = frozenset()
    """What it can do beyond the plain task, as in `Request.required_features()`: e.g. `images`, `tools`, `logprobs`."""
    imports: ClassVar[tuple[str, ...]] = ()
    """Modules (`module`) or lazy attributes (`module:name`) that a standby imports before it knows its model."""
    early_standby: ClassVar[bool] = True
    """Whether a standby starts before the engine's first use. False where that saves less than its memory is worth."""
    extras: ClassVar[tuple[str, ...]] = ()
    """Extras of pyproject.toml with the libraries that it needs; `make setup ENGINES=<engine>` installs them."""
    devices: ClassVar[tuple[str, ...]] = ("cuda", "mps", "cpu")
    """Kinds of device that it runs on."""
    needs_source: ClassVar[bool] = True
    """Whether an entry must have a `source`; false for an engine that brings its weights or needs none."""
    model_types: ClassVar[tuple[str, ...]] = ()
    """transformers' `model_type`s that it serves. Empty: the engine finds out at load whether it can run a model."""
    extra_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields of requests that it reads though no task knows them. The answer warns of all other unknown fields."""
    opt_in_tasks: ClassVar[frozenset[str]] = frozenset()
    """Tasks served only by entries that list them in `tasks`: they need another kind of model than the others."""

    joins: Joins | None = None
    """Whether chat requests share the loaded model's steps: set by `load`, for an engine that chats."""

    @cached_property
    def meter(self) -> StepMeter:
        """Counts the steps that rows share, what is read of prompts, and what is kept for later."""
        return StepMeter()

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load the model's weights. Raises ServeError with a sentence that says what to do, or any other exception."""
        raise NotImplementedError

    def close(self) -> None:
        """Release, when the worker shuts down, what the end of the process would not free. Rarely needed."""

    @classmethod
    def served(cls) -> dict[str, ServedTask]:
        """The tasks that its methods serve, by name."""
        methods = (getattr(cls, name, None) for name in dir(cls))
        return {served.task.name: served for method in methods for served in getattr(method, _MARK, ())}

    @classmethod
    def supports_model_type(cls, model_type: str) -> bool:
        """Whether it serves transformers checkpoints of this type. Called after a failed load, so it may import."""
        return model_type in cls.model_types

    def facts(self) -> ModelFacts:
        """What is known of the loaded model, such as its context length."""
        return ModelFacts()

    def loaded_features(self) -> frozenset[str]:
        """The features of the loaded model, where it has fewer than its family."""
        return self.features
