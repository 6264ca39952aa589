"""How much memory each device has, how much of it is used, and how much of that each worker holds.

`cuda`, `unified` (Apple) and `host` read one kind of memory each; `meters` puts them together; `budget` says what may
be handed out; `footprints` remembers what each model needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class MemoryDevice:
    """One memory and what computes in it; `id` is `cpu`, `mps` or a GPU's UUID, `total` is in bytes.

    Where the machine has a single unified memory (Apple) there is one device, `mps`, and CPU workers live in it too.
    `index` is what N means in `cuda:N`. `bf16`: it computes in bfloat16 as fast as in float16.
    """

    id: str
    kind: str
    name: str
    total: int
    index: int = 0
    bf16: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One device's memory now, in bytes. `total - used` is what can still be had."""

    device: str
    total: int
    used: int


@dataclass(frozen=True, slots=True)
class Sample:
    """All devices at one moment; `workers` maps each worker's name to its bytes by device id.

    `shared` names workers whose figure is a share of what several of them took at once, where the driver does not say
    which process holds what: good for a budget, not to be learned from.
    """

    readings: dict[str, Reading]
    workers: dict[str, dict[str, int]]
    shared: frozenset[str] = field(default_factory=frozenset)


class Root(NamedTuple):
    """A worker as the meter knows it: its first process, its uuid, and the ids of the devices it was placed on."""

    pid: int
    uuid: str
    devices: tuple[str, ...] = ()


RootLike = Root | tuple[int, str] | tuple[int, str, tuple[str, ...]]
"""A plain `(pid, uuid)` will do where the driver tells what each process holds."""


class Meter(Protocol):
    """Reads memory. Every method but `devices` blocks for some milliseconds: call it in a thread, from any thread."""

    def devices(self) -> tuple[MemoryDevice, ...]:
        """The devices there are, GPUs first; they do not change while the manager runs."""

    def sample(self, roots: Mapping[str, RootLike]) -> Sample:
        """Measure every device and every worker, by the worker's name."""

    def baseline(self, roots: Mapping[str, RootLike]) -> None:
        """Take what is used now as what there is without a start. Call it when no start and no stop is under way."""

    def holds(self, root: RootLike, devices: tuple[str, ...]) -> list[int]:
        """The pids of the worker's processes that still live, or that the driver still lists on these devices."""

    def freed(self, root: RootLike, devices: tuple[str, ...]) -> bool:
        """Whether a stopped worker's memory is back: no pid holds any, and each GPU is at its baseline again."""


def detect() -> Meter:
    """The meter for this machine: its GPUs where NVML finds any, and the memory of the machine itself."""
    from manager.memory.meters import detect as detect_devices

    return detect_devices()
