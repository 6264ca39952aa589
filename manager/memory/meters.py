"""Measures a real machine: its main memory and, if it has any, its GPUs."""

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
from manager.memory import nvml
from manager.memory.cuda import Cuda, GpuWorker
from manager.memory.device import MemoryDevice, Reading, RootProcess, Sample
from manager.memory.host import Host
from manager.memory.unified import Unified

SCAN_INTERVAL = 10.0
"""Seconds between scans of every process's environment for descendants that have left their worker's tree."""

Trees = Mapping[str, tuple[RootProcess, list[psutil.Process]]]
"""Each worker's root and all its living processes, by the worker's name."""


class MainMemory(Protocol):
    """The machine's main memory: `host` or `unified`."""

    def device(self) -> MemoryDevice: ...

    def reading(self) -> Reading: ...

    def bytes_of(self, processes: Iterable[psutil.Process]) -> int: ...


class MachineMeter:
    """Measures each worker on the devices that it was placed on, or on all of them if its root names none."""

    def __init__(
        self, memory: MainMemory, cuda: Cuda | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._memory, self._cuda, self._clock = memory, cuda or Cuda(()), clock
        self._devices = (*self._cuda.devices(), memory.device())
        self._main_memory = self._devices[-1].id
        self._marked: dict[str, list[psutil.Process]] = {}
        self._scanned_at = -SCAN_INTERVAL
        self._lock = threading.Lock()

    def devices(self) -> tuple[MemoryDevice, ...]:
        """The GPUs, then the machine's main memory."""
        return self._devices

    def sample(self, roots: Mapping[str, RootProcess]) -> Sample:
        """Measure every device and worker. A worker has no figure for a device that it was not placed on."""
        trees = self._trees(roots)
        shares = self._cuda.shares(_gpu_workers(trees))
        workers: dict[str, dict[str, int]] = {}
        shared: set[str] = set()
        for name, (root, processes) in trees.items():
            on_gpus = {device: share.held[root.uuid] for device, share in shares.items() if root.uuid in share.held}
            workers[name] = on_gpus | self._in_main_memory(root, processes)
            shared |= {name for share in shares.values() if root.uuid in share.shared}
        readings = {**self._cuda.readings(), self._main_memory: self._memory.reading()}
        return Sample(readings, workers, frozenset(shared))

    def baseline(self, roots: Mapping[str, RootProcess]) -> None:
        """Take the GPUs' memory in use now as the starting point for measuring what new workers gain."""
        if len(self._devices) > 1:
            self._cuda.baseline(_gpu_workers(self._trees(roots)))

    def holders(self, root: RootProcess) -> list[int]:
        """Pids of the worker that are alive, wherever they are, or that the GPU's driver still lists."""
        living = {process.pid for process in process_tree.find_all(root.pid, root.uuid)}
        return sorted(living | self._cuda.holders(root.uuid, root.devices))

    def freed(self, root: RootProcess) -> bool:
        """Whether the worker has no holders any more, and its GPUs are within `cuda.TOLERANCE` of their baseline."""
        return not self.holders(root) and self._cuda.back(root.uuid, root.devices)

    def _in_main_memory(self, root: RootProcess, processes: list[psutil.Process]) -> dict[str, int]:
        """A GPU worker's main memory is not measured: the scheduler has set none aside for it."""
        if root.devices and self._main_memory not in root.devices:
            return {}
        return {self._main_memory: self._memory.bytes_of(processes)}

    def _trees(self, roots: Mapping[str, RootProcess]) -> Trees:
        if not roots:
            return {}
        child_pids, marked = process_tree.children_by_parent(), self._marked_processes()
        trees: dict[str, tuple[RootProcess, list[psutil.Process]]] = {}
        for name, root in roots.items():
            in_tree = process_tree.tree(root.pid, root.uuid, child_pids)
            elsewhere = [process for process in marked.get(root.uuid, ()) if process_tree.alive(process)]
            trees[name] = root, list({process.pid: process for process in (*in_tree, *elsewhere)}.values())
        return trees

    def _marked_processes(self) -> dict[str, list[psutil.Process]]:
        with self._lock:
            if self._clock() - self._scanned_at >= SCAN_INTERVAL:
                self._marked, self._scanned_at = process_tree.marked_by_uuid(), self._clock()
            return self._marked


def detect() -> MachineMeter:
    """The meter for this machine: the GPUs that NVML finds, and Apple's unified memory or the host's memory."""
    library = nvml.load()
    gpus = nvml.gpus(library, os.environ.get("CUDA_VISIBLE_DEVICES")) if library else []
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return MachineMeter(Unified() if apple else Host(), Cuda(gpus))


def _gpu_workers(trees: Trees) -> list[GpuWorker]:
    return [
        GpuWorker(root.uuid, frozenset(process.pid for process in processes), root.devices)
        for root, processes in trees.values()
    ]
