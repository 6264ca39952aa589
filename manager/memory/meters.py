"""The meter of a real machine: its own memory and, where there are any, its GPUs."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import psutil

from manager import process_tree
from manager.memory import MemoryDevice, Reading, Root, RootLike, Sample, nvml
from manager.memory.cuda import Cuda, Resident
from manager.memory.host import Host
from manager.memory.unified import Unified

SCAN_EVERY = 10.0
"""Seconds between looks at every process's environment for grandchildren that have left the tree."""


class MachineMemory(Protocol):
    """The machine's own memory: `host` or `unified`."""

    def device(self) -> MemoryDevice: ...

    def reading(self) -> Reading: ...

    def bytes_of(self, processes: Iterable[psutil.Process]) -> int: ...


class MachineMeter:
    """Measures workers on the devices that they were placed on; without any given, on all."""

    def __init__(
        self, memory: MachineMemory, cuda: Cuda | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._memory, self._cuda, self._clock = memory, cuda or Cuda(()), clock
        self._devices = (*self._cuda.devices(), memory.device())
        self._own = self._devices[-1].id
        self._carriers: dict[str, list[psutil.Process]] = {}
        self._scanned = -SCAN_EVERY
        self._lock = threading.Lock()

    def devices(self) -> tuple[MemoryDevice, ...]:
        """The GPUs, then the machine's own memory."""
        return self._devices

    def sample(self, roots: Mapping[str, RootLike]) -> Sample:
        """Every device and worker now. A worker's figure on a device is missing where it was not placed."""
        trees = self._trees(roots)
        shares = self._cuda.shares(_residents(trees))
        workers: dict[str, dict[str, int]] = {}
        shared: set[str] = set()
        for name, (root, processes) in trees.items():
            on_gpus = {device: share.held[root.uuid] for device, share in shares.items() if root.uuid in share.held}
            workers[name] = on_gpus | self._in_memory(root, processes)
            shared |= {name for share in shares.values() if root.uuid in share.shared}
        return Sample(self._readings(), workers, frozenset(shared))

    def baseline(self, roots: Mapping[str, RootLike]) -> None:
        """What the GPUs have in use now is what there is without a start."""
        if len(self._devices) > 1:
            self._cuda.baseline(_residents(self._trees(roots)))

    def holds(self, root: RootLike, devices: tuple[str, ...]) -> list[int]:
        """Pids that live, escaped ones included, or that the GPU's driver still lists."""
        known = Root(*root)
        living = {process.pid for process in process_tree.whole(known.pid, known.uuid)}
        return sorted(living | self._cuda.holds(known.uuid, devices))

    def freed(self, root: RootLike, devices: tuple[str, ...]) -> bool:
        """Whether nothing is held any more, and the GPUs are at their baseline within `cuda.TOLERANCE`."""
        return not self.holds(root, devices) and self._cuda.back(Root(*root).uuid, devices)

    def _readings(self) -> dict[str, Reading]:
        return {**self._cuda.readings(), self._own: self._memory.reading()}

    def _in_memory(self, root: Root, processes: list[psutil.Process]) -> dict[str, int]:
        """A GPU's worker is not measured here: what it holds of the machine's memory is nobody's commitment."""
        if root.devices and self._own not in root.devices:
            return {}
        return {self._own: self._memory.bytes_of(processes)}

    def _trees(self, roots: Mapping[str, RootLike]) -> dict[str, tuple[Root, list[psutil.Process]]]:
        if not roots:
            return {}
        families, carriers = process_tree.families(), self._known_carriers()
        found: dict[str, tuple[Root, list[psutil.Process]]] = {}
        for name, like in roots.items():
            root = Root(*like)
            below = process_tree.tree(root.pid, root.uuid, families)
            escaped = [process for process in carriers.get(root.uuid, ()) if process_tree.alive(process)]
            found[name] = root, list({process.pid: process for process in (*below, *escaped)}.values())
        return found

    def _known_carriers(self) -> dict[str, list[psutil.Process]]:
        with self._lock:
            if self._clock() - self._scanned >= SCAN_EVERY:
                self._carriers, self._scanned = process_tree.carriers(), self._clock()
            return self._carriers


def detect() -> MachineMeter:
    """The GPUs that NVML finds, and Apple's unified memory or the host's."""
    library = nvml.load()
    gpus = nvml.gpus(library, os.environ.get("CUDA_VISIBLE_DEVICES")) if library else []
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return MachineMeter(Unified() if apple else Host(), Cuda(gpus))


def _residents(trees: Mapping[str, tuple[Root, list[psutil.Process]]]) -> list[Resident]:
    return [
        Resident(root.uuid, frozenset(process.pid for process in processes), root.devices)
        for root, processes in trees.values()
    ]
