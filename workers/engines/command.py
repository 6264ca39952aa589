"""Any OpenAI-compatible server in place of a worker: the manager starts it by its command; no worker loads it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from contract.config import ModelSpec
from contract.errors import LoadFailed
from contract.tasks import all_tasks
from workers.engine import Device, Engine, Options, ServedTask


class CommandOptions(Options):
    """`cmd` may contain the macros `${PORT}`, `${TOKEN}` and `${MODEL_ID}`; `ready` answers 2xx once it is ready.

    `model_name` is the `model` that the server gets in requests (null: the client's). `cwd` is the folder in which the
    command runs (null: the manager's). `normalize_images`: images in requests for tasks reach the server upright, on
    white and in RGB, as engines get them.
    """

    cmd: str = Field(min_length=1)
    ready: str = Field("/health", pattern="^/")
    model_name: str | None = None
    cwd: str | None = None
    normalize_images: bool = False

    @field_validator("cmd")
    @classmethod
    def _has_a_port(cls, value: str) -> str:
        if "${PORT}" not in value:
            raise ValueError("Enginehouse chooses the server's port: write ${PORT} where the command needs it")
        return value


class Command(Engine):
    """An external server, started by its command; it gets every field and path as the client sent it."""

    Options: ClassVar[type[Options]] = CommandOptions
    features: ClassVar[frozenset[str]] = frozenset({"*"})
    devices: ClassVar[tuple[str, ...]] = ("cuda", "mps", "mlx", "cpu")
    needs_source: ClassVar[bool] = False

    def load(self, spec: ModelSpec, device: Device) -> None:  # noqa: ARG002 - the interface
        """Raises LoadFailed: the manager starts the command itself, without a worker."""
        raise LoadFailed(f"{spec.id} is an external server and cannot run in a worker; start it through the manager.")

    @classmethod
    def served(cls) -> dict[str, ServedTask]:
        """Every task: only the entry's author knows which ones the server supports."""
        return {name: ServedTask(task, "", 1, None) for name, task in all_tasks().items()}
