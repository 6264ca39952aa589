"""Any OpenAI-compatible server in a worker's place: the manager starts it behind a guard, no worker loads it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from contract.config import ModelSpec
from contract.errors import LoadFailed
from contract.tasks import all_tasks
from workers.engine import Device, Engine, Options, ServedTask


class CommandOptions(Options):
    """`cmd` may hold the macros `${PORT}`, `${TOKEN}` and `${MODEL_ID}`; `ready` answers 2xx once the server serves.

    `model_name` is what the server wants to read as a request's `model` (the entry's id without it); `cwd` is the
    folder in which it runs.
    """

    cmd: str = Field(min_length=1)
    ready: str = Field("/health", pattern="^/")
    model_name: str | None = None
    cwd: str | None = None

    @field_validator("cmd")
    @classmethod
    def _has_a_port(cls, value: str) -> str:
        if "${PORT}" not in value:
            raise ValueError("the command must take its port from us: write ${PORT} where it belongs")
        return value


class Command(Engine):
    """A server of another make, started by its command; it gets every field and path as the client sent it."""

    Options: ClassVar[type[Options]] = CommandOptions
    features: ClassVar[frozenset[str]] = frozenset({"*"})
    devices: ClassVar[tuple[str, ...]] = ("cuda", "mps", "mlx", "cpu")
    needs_source: ClassVar[bool] = False

    def load(self, spec: ModelSpec, device: Device) -> None:  # noqa: ARG002 - the interface
        """Never called by a manager: it starts the command itself."""
        raise LoadFailed(f"{spec.id} is a server of its own and cannot run in a worker; start it through the manager.")

    @classmethod
    def served(cls) -> dict[str, ServedTask]:
        """Whatever the entry says: only its author knows what the server can."""
        return {name: ServedTask(task, "", 1, None) for name, task in all_tasks().items()}
