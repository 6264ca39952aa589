"""How a worker's process comes to be: an interface and its backends.

`local` starts our own workers, `command` anyone's server behind a guard. A process that a launcher gives back is
already born, though its model may still be loading.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from contract.config import ModelSpec


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a worker goes: device ids as `DeviceStatus.id` has them, their kind, and the dtype settled on."""

    devices: tuple[str, ...] = ("cpu",)
    kind: str = "cpu"
    dtype: str = "auto"
    environment: dict[str, str] = field(default_factory=dict)  # e.g. CUDA_VISIBLE_DEVICES, by UUID


@dataclass(eq=False)  # not frozen: whoever passes an exception on sets its traceback
class LoadFailure(Exception):
    """Why a worker did not become ready. `certain`: trying again at once would end alike."""

    message: str
    certain: bool = False
    out_of_memory: bool = False
    exit_code: int | None = None

    def __str__(self) -> str:
        return self.message


class Process(Protocol):
    """A born worker."""

    uuid: str
    url: str
    token: str
    from_standby: bool
    log_path: Path

    @property
    def pid(self) -> int:
        """The process that leads the group."""

    async def ready(self) -> None:
        """Return once it serves. Raises LoadFailure when it says that it cannot, or ends."""

    async def wait(self) -> int:
        """Its exit code, once it has ended (negative: the signal)."""

    async def stop(self, grace: float) -> None:
        """Ask by /shutdown, then TERM, wait `grace` seconds, then KILL the group and every process with its uuid."""

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that it wrote."""


ReportHandler = Callable[[dict[str, Any]], None]
"""What a running worker tells its manager: `{"event": "out_of_memory" | "progress", …}`."""


class Launcher(Protocol):
    """Makes processes."""

    async def start(self, spec: ModelSpec, placement: Placement, name: str, report: ReportHandler) -> Process:
        """Give birth to worker `name` (`model#n`), or use a standby. Raises LoadFailure if not even that works."""
