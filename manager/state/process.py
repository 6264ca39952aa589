"""What the manager knows of a worker's process: where it was placed, how to talk to it, and why it failed to load."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a worker runs: device ids as in `DeviceStatus.id`, the kind of device, and the dtype chosen for it.

    `memory`: the bytes of the device that models may have in all; None if that is unknown.
    """

    devices: tuple[str, ...] = ("cpu",)
    kind: str = "cpu"
    dtype: str = "auto"
    environment: dict[str, str] = field(default_factory=dict)  # such as CUDA_VISIBLE_DEVICES, by UUID
    memory: int | None = None


@dataclass(eq=False)  # not frozen: raising an exception sets its traceback
class LoadFailure(Exception):
    """Why a worker did not become ready.

    `certain`: trying again at once would fail in the same way. `permanent`: so would every attempt, until the entry,
    its files or what is installed are put right.
    """

    message: str
    certain: bool = False
    out_of_memory: bool = False
    exit_code: int | None = None
    permanent: bool = False

    def __str__(self) -> str:
        return self.message


def lasting_failure(message: str) -> LoadFailure:
    """A failure that lasts until something is put right, which the message says."""
    return LoadFailure(message, certain=True, permanent=True)


class Process(Protocol):
    """A running worker process, which may still be loading its model."""

    uuid: str
    url: str
    token: str
    from_standby: bool
    log_path: Path

    @property
    def pid(self) -> int:
        """The leader of the process group."""

    async def ready(self) -> None:
        """Return once it serves requests. Raises LoadFailure when it reports a failure, or exits."""

    async def wait(self) -> int:
        """Return the exit code once the process has ended; a negative one is a signal's number."""

    async def stop(self, grace: float) -> None:
        """POST /shutdown, then TERM, then after `grace` seconds KILL the group and every process with its uuid."""

    async def responds(self, within: float) -> bool:
        """Whether its server answers a health check `within` these seconds, with any status."""

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
