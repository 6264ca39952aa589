"""The types that every part of memory measurement shares: devices, readings, samples, and the meter's interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class MemoryDevice:
    """One memory and the processors that use it. `id` is `cpu`, `mps` or a GPU's UUID; `total` is in bytes.

    A machine with one unified memory (Apple) has one device, `mps`, which CPU workers use too. `index` is N in
    `cuda:N`. `bf16`: the device computes in bfloat16 as fast as in float16.
    """

    id: str
    kind: str
    name: str
    total: int
    index: int = 0
    bf16: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One device's memory at one moment, in bytes. `total - used` is still available."""

    device: str
    total: int
    used: int


@dataclass(frozen=True, slots=True)
class Sample:
    """All devices at one moment. `workers` maps each worker's name to its bytes by device id.

    `shared` names the workers whose figure is an equal share of what several of them gained together, because the
    driver does not report memory by process: accurate enough for a budget, but footprints are not learned from it.
    """

    readings: dict[str, Reading]
    workers: dict[str, dict[str, int]]
    shared: frozenset[str] = field(default_factory=frozenset)


class RootProcess(NamedTuple):
    """A worker as the meter knows it: the pid of its first process, its uuid, and the devices that it was placed on."""

    pid: int
    uuid: str
    devices: tuple[str, ...] = ()


class Meter(Protocol):
    """Measures memory. Every method but `devices` blocks for milliseconds: call it in a thread, from any thread."""

    def devices(self) -> tuple[MemoryDevice, ...]:
        """The machine's devices, GPUs first; they do not change while the manager runs."""

    def sample(self, roots: Mapping[str, RootProcess]) -> Sample:
        """Measure every device and every worker; `roots` is keyed by the worker's name."""

    def baseline(self, roots: Mapping[str, RootProcess]) -> None:
        """Measure gains from the memory in use now. Call it while no worker is starting or stopping."""

    def holders(self, root: RootProcess) -> list[int]:
        """Pids of the worker that are still alive, or that the driver still lists on the worker's devices."""

    def freed(self, root: RootProcess) -> bool:
        """Whether a stopped worker's memory is back: it has no holders, and each of its GPUs is at its baseline."""
