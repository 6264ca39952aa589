"""What a model family is: an `Engine` with one method a task, plain and synchronous.

Concurrency lives outside: the batcher calls a method with the calls that fit together, on one thread, and the method
yields each call's answer (or pieces of it, or its error) when it has it. A method that works in steps may instead take
its calls from a `Feed`, newcomers between two steps included.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks import Request, Task, all_tasks
from contract.tasks.analyze import ANALYZE
from contract.tasks.caption import CAPTION
from contract.tasks.chat import CHAT
from contract.tasks.ocr import OCR

Req = TypeVar("Req", bound=Request)

THROUGH_CHAT: tuple[Task[Any, Any], ...] = (ANALYZE, CAPTION, OCR)
"""Tasks that the worker does by chat where an engine that chats and sees has no method for them (`through_chat`)."""
SIGHT = "images"
"""The feature of an engine that sees."""


class Options(BaseModel):
    """An entry's `options`. Engines subclass it; a key that none knows is an error of configuration.

    `max_batch` lowers the engine's own bound; `batch_window_ms` waits for company before a batch begins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_batch: int | None = Field(None, ge=1)
    batch_window_ms: float = Field(0, ge=0, le=1000)


@dataclass(frozen=True, slots=True)
class Device:
    """Where a model goes, chosen by the manager: workers never detect.

    `kind` is `cuda`, `mps`, `mlx` or `cpu`. On CUDA the process sees only its own device, so `torch` is `cuda:0`.
    """

    kind: str
    dtype: str = "auto"

    @property
    def torch(self) -> str:
        """The device's name in torch."""
        return {"cuda": "cuda:0", "mps": "mps"}.get(self.kind, "cpu")


@dataclass(eq=False)
class Call(Generic[Req]):
    """One request while it is being worked on."""

    request: Req
    id: str = ""
    alone: bool = False  # it has killed a worker before: nobody else shares its batch
    done: int = 0
    total: int = 0
    _left: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def cancelled(self) -> bool:
        """Whether the client has left: stop at the next step."""
        return self._left.is_set()

    def cancel(self) -> None:
        """Tell the engine, from any thread, that nobody waits for the answer any more."""
        self._left.set()

    def progress(self, done: int, total: int) -> None:
        """Say how far the work is, in the engine's own steps."""
        self.done, self.total = done, total


class Feed(Generic[Req]):
    """Where a method with `joins=True` gets its calls: at its beginning, and newcomers between its steps."""

    def __init__(self, limit: int, more: Callable[[int], list[Call[Req]]]) -> None:
        self.limit = limit
        """The most calls at work at once: the engine's own bound, or the entry's lower one."""
        self._more = more

    def take(self, most: int) -> list[Call[Req]]:
        """Up to `most` calls to begin now, oldest first; none where none waits that fits. Never blocks."""
        return self._more(most) if most > 0 else []


Output = BaseModel | ServeError | None
"""A chunk, a whole response, why there is none, or None: this call's stream is complete."""

Method = Callable[..., Iterator[tuple[Call[Any], Output]]]


@dataclass(frozen=True, slots=True)
class Serves:
    """How an engine's method serves a task; `through` is set where the worker asks that method instead."""

    task: Task[Any, Any]
    method: str
    max_batch: int
    group: Callable[[Any], Any] | None
    joins: bool = False
    through: Serves | None = None


_MARK = "__serves__"


def serves(
    task: Task[Any, Any], *, max_batch: int = 1, group: Callable[[Any], Any] | None = None, joins: bool = False
) -> Callable[[Method], Method]:
    """Mark a method `(self, calls: list[Call]) -> Iterator[(call, chunk | response | ServeError)]` as serving a task.

    Up to `max_batch` calls come at once; only calls with equal `group(request)` share a batch, and `group` must be
    cheap: it runs between the requests, not on the engine's thread.

    What a method yields for a call:

    - a task without chunks: one response, or one ServeError. Either ends the call.
    - a streaming task: any number of chunks of any of the calls in turn, then `(call, None)` as soon as that call is
      complete, so that a short answer need not wait for the long ones in its batch. A ServeError ends the call too, and
      the end of the method ends all that are left. Always stream: the app folds the chunks for who wants the whole,
      and withholds those that the client did not ask for (`Task.wants_chunk`, e.g. the chunk with the usage).

    An item that fails yields its ServeError and the others go on. What is raised fails the batch: calls without any
    answer yet are then run again, each alone. A call that is `cancelled` needs no further answer; drop it between
    steps, and return when all are gone (the batcher closes the generator at its next `yield` anyway).

    With `joins` the method is `(self, feed: Feed) -> Iterator[…]` and takes its calls itself: `feed.take(most)` as soon
    as it begins (at least one call waits then), and again between its steps, with `most` for what it has room. It ends
    when it has no work left and the feed gives it none; the batcher calls it again for the next call that comes.

    - All above holds for who joins as for who began. So keep a newcomer's failure from the others: catch what reading
      its prompt raises and yield `failures.as_answer(error)` for it alone; what you raise ends the streams of all.
    - While a call waits that does not fit (of another task or group, or one that must be alone), the feed gives none
      that came after it: those at work finish, then it has its turn. So neither side can keep the other waiting.
    - At most `feed.limit` of the calls are unfinished at any time.
    """

    def mark(method: Method) -> Method:
        setattr(method, _MARK, Serves(task, method.__name__, max_batch, group, joins))
        return method

    return mark


class Engine:
    """A model family. Heavy libraries are imported inside `load`, and named in `imports` for standby processes."""

    Options: ClassVar[type[Options]] = Options
    features: ClassVar[frozenset[str]] = frozenset()
    """What it can do beyond the plain task, as in `Request.required_features()`: e.g. `images`, `tools`, `logprobs`."""
    imports: ClassVar[tuple[str, ...]] = ()
    """Modules (`module`) or lazy names (`module:name`) that a standby imports before it knows its model."""
    devices: ClassVar[tuple[str, ...]] = ("cuda", "mps", "cpu")
    """Kinds of device that it runs on."""
    model_types: ClassVar[tuple[str, ...]] = ()
    """The `model_type`s of transformers that it serves; none named: it finds out otherwise what it can load."""
    named_only: ClassVar[frozenset[str]] = frozenset()
    """Tasks that only an entry which names them in `tasks` serves: they take another kind of model than the others."""

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load the model's weights. Raises ServeError with a sentence that says what to do, or anything else."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go, at a worker's orderly end, of what the process's death would not free. Most need nothing."""

    @classmethod
    def served(cls) -> dict[str, Serves]:
        """The tasks that it serves, by name: those of its methods, and what can be done through its chat."""
        marks = (getattr(getattr(cls, name, None), _MARK, None) for name in dir(cls))
        own: dict[str, Serves] = {mark.task.name: mark for mark in marks if mark}
        chat = own.get(CHAT.name)
        if chat is None or SIGHT not in cls.features:
            return own
        return {task.name: Serves(task, "", 1, None, through=chat) for task in THROUGH_CHAT} | own

    @classmethod
    def knows(cls, model_type: str) -> bool:
        """Whether it serves checkpoints of a type of transformers. Asked when a model does not load: it may import."""
        return model_type in cls.model_types

    def features_of(self) -> frozenset[str]:
        """The features of the loaded model, where they are fewer than the family's."""
        return self.features


class UnknownEngine(Exception):
    """No engine has that name; the message lists those that there are."""


def names() -> list[str]:
    """Every engine's name: the files and packages in `workers/engines`."""
    from workers import engines

    return sorted(info.name for info in pkgutil.iter_modules(engines.__path__) if not info.name.startswith("_"))


def find(name: str) -> type[Engine]:
    """The engine in the file of that name. Raises UnknownEngine."""
    if name not in names():
        raise UnknownEngine(
            f"unknown engine {name!r}; there are: {', '.join(names())}. A new one is a file in workers/engines/."
        )
    module = importlib.import_module(f"workers.engines.{name}")
    classes = (value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Engine))
    return next(engine for engine in classes if engine.__module__.startswith(module.__name__))


def tasks_of(spec: ModelSpec, engine: type[Engine]) -> tuple[str, ...]:
    """The tasks that an entry serves: those that it names, else all of its engine's that need no naming."""
    return spec.tasks or tuple(name for name in all_tasks() if name in engine.served().keys() - engine.named_only)


def tasks_of_loaded(spec: ModelSpec, engine: Engine) -> tuple[str, ...]:
    """Those of an entry's tasks that its loaded model can do: nothing about pictures through chat if it is blind."""
    served, sees = engine.served(), SIGHT in engine.features_of()
    return tuple(name for name in tasks_of(spec, type(engine)) if sees or not served[name].through)
