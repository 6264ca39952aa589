"""The two batchers of a worker: one for the thread of the model, and one beside it for what does not need the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workers.batcher import Batcher
from workers.engine import Call, Engine, Options, ServedTask
from workers.tickets import Ticket


class Batchers:
    """Hands each call to the batcher of its task. `model` runs on the model's thread, `beside` on another."""

    def __init__(self, engine: Engine, options: Options, on_out_of_memory: Callable[[], None]) -> None:
        self.model = Batcher(engine, options, on_out_of_memory)
        self.beside = Batcher(engine, options, on_out_of_memory)
        self.has_beside = any(served.beside for served in engine.served().values())

    def submit(self, served: ServedTask, call: Call[Any]) -> Ticket:
        """Queue a call. Called on the event loop. Raises what the task's `group` raises."""
        return (self.beside if served.beside else self.model).submit(served, call)

    def stop(self) -> None:
        """Let both end after the batches that they are running."""
        self.model.stop()
        self.beside.stop()
