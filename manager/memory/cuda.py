"""NVIDIA GPUs: how much memory each worker holds on them.

If the driver reports memory by process, that figure counts. If it does not, a worker's memory is what the GPU gained
since a baseline.

The level of a GPU is the memory in use that no listed process explains. If the driver reports every process, the level
is the driver's own share, which hardly changes. If the driver reports none (in containers, on WSL), the level is all
memory in use, and its rise since the baseline belongs to the workers that started since.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field

import psutil

from manager.memory.device import MemoryDevice, Reading
from manager.memory.nvml import Gpu

TOLERANCE = 64 << 20
"""Bytes above the baseline at which a GPU's memory still counts as back: the driver keeps small amounts for itself."""


@dataclass(frozen=True, slots=True)
class GpuWorker:
    """A worker as far as a GPU can know it: its uuid, its living pids, and the devices that it was placed on."""

    uuid: str
    pids: frozenset[int]
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GpuShares:
    """One GPU's memory in bytes by worker uuid. `shared`: workers that were given equal parts of one common figure."""

    held: dict[str, int]
    shared: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _GpuState:
    """A GPU at one moment: its level, and its processes' bytes by pid (None where the driver does not report them)."""

    level: int
    processes: Mapping[int, int | None]

    def reported(self, workers: Collection[GpuWorker]) -> dict[str, int]:
        """Bytes by uuid, of the workers for which the driver reports at least one process."""
        used = {worker.uuid: [self.processes.get(pid) or 0 for pid in worker.pids] for worker in workers}
        return {uuid: sum(sizes) for uuid, sizes in used.items() if any(sizes)}

    def listed(self, workers: Collection[GpuWorker]) -> dict[str, frozenset[int]]:
        """The workers' pids that the driver lists, with or without their memory."""
        return {worker.uuid: worker.pids & self.processes.keys() for worker in workers}


@dataclass(slots=True)
class _Account:
    """What is known of one GPU between two measurements, by worker uuid."""

    baseline: int
    settled: dict[str, int] = field(default_factory=dict)  # bytes within the baseline, of workers that are not reported
    newcomers: frozenset[str] = frozenset()  # workers that started since the baseline and are not reported
    listed: dict[str, frozenset[int]] = field(default_factory=dict)  # pids that the driver has listed so far
    driver_reports: bool = False  # it has reported some worker's bytes: a worker that it does not list holds none

    def attribute(self, state: _GpuState, gpu: str, workers: Collection[GpuWorker]) -> GpuShares:
        """Reported figures count as they are, settled workers keep theirs, and newcomers share the gain equally."""
        reported = state.reported(workers)
        unseen = {w.uuid: w.pids for w in workers if gpu in w.devices and w.uuid not in reported}
        settled = {uuid: self.settled[uuid] for uuid in unseen if uuid in self.settled}
        self.newcomers = frozenset(uuid for uuid, pids in unseen.items() if pids and uuid not in settled)
        self.driver_reports = self.driver_reports or bool(reported)
        for uuid, pids in state.listed(workers).items():
            self.listed[uuid] = self.listed.get(uuid, frozenset()) | pids
        gain = max(0, state.level - self.baseline)
        equal_parts = {uuid: gain // len(self.newcomers) for uuid in self.newcomers}
        return GpuShares(reported | settled | equal_parts, self.newcomers if len(equal_parts) > 1 else frozenset())

    def settle(self, state: _GpuState, gpu: str, workers: Collection[GpuWorker]) -> _Account:
        """A new account whose baseline is this state, without newcomers."""
        held, reported = self.attribute(state, gpu, workers).held, state.reported(workers)
        settled = {uuid: size for uuid, size in held.items() if uuid not in reported}
        listed = {worker.uuid: self.listed[worker.uuid] for worker in workers}
        return _Account(state.level, settled, listed=listed, driver_reports=self.driver_reports)

    def is_back(self, level: int, uuid: str) -> bool:
        """Whether the level is what it would be without this worker.

        While unreported newcomers change the level, it proves nothing about this worker, so it is not waited for.
        """
        without_worker = self.baseline - self.settled.get(uuid, 0)
        return level <= without_worker + TOLERANCE or (not self.driver_reports and bool(self.newcomers - {uuid}))

    def forget(self, uuid: str) -> None:
        """Remove a worker that has ended."""
        self.baseline -= self.settled.pop(uuid, 0)
        self.newcomers -= {uuid}
        self.listed.pop(uuid, None)


class Cuda:
    """All GPUs that the manager uses. `exists` says whether this process can see a pid."""

    def __init__(self, gpus: Sequence[Gpu], exists: Callable[[int], bool] = psutil.pid_exists) -> None:
        self._gpus = {gpu.uuid: gpu for gpu in gpus}
        self._exists = exists
        self._lock = threading.Lock()  # samples, baselines and stops come from several threads
        self._accounts = {gpu.uuid: _Account(self._state(gpu).level) for gpu in gpus}

    def devices(self) -> tuple[MemoryDevice, ...]:
        """The GPUs, numbered as in `cuda:N`."""
        return tuple(
            MemoryDevice(gpu.uuid, "cuda", gpu.name, gpu.total, index, gpu.bf16())
            for index, gpu in enumerate(self._gpus.values())
        )

    def readings(self) -> dict[str, Reading]:
        """Each GPU's memory now, by its UUID."""
        return {uuid: Reading(uuid, gpu.total, gpu.used()) for uuid, gpu in self._gpus.items()}

    def shares(self, workers: Collection[GpuWorker]) -> dict[str, GpuShares]:
        """How much each worker holds of each GPU, by the GPU's UUID."""
        with self._lock:
            return {
                uuid: self._accounts[uuid].attribute(self._state(gpu), uuid, workers)
                for uuid, gpu in self._gpus.items()
            }

    def baseline(self, workers: Collection[GpuWorker]) -> None:
        """Attribute all later gains to new workers. `workers` must be all that there are, and fully loaded."""
        with self._lock:
            for uuid, gpu in self._gpus.items():
                self._accounts[uuid] = self._accounts[uuid].settle(self._state(gpu), uuid, workers)

    def holders(self, uuid: str, devices: Sequence[str]) -> set[int]:
        """A worker's pids that the driver still lists on these devices. It lists some after the process has ended."""
        with self._lock:
            known = {device: self._listed(device).get(uuid, frozenset()) for device in devices}
            return {pid for device, pids in known.items() if pids for pid in pids & self._running(device)}

    def back(self, uuid: str, devices: Sequence[str]) -> bool:
        """Whether the GPUs' memory is what it was without this worker. If so, the worker is forgotten."""
        with self._lock:
            known = [(self._accounts[device], self._gpus[device]) for device in devices if device in self._gpus]
            if not all(account.is_back(self._state(gpu).level, uuid) for account, gpu in known):
                return False
            for account, _ in known:
                account.forget(uuid)
            return True

    def _listed(self, device: str) -> Mapping[str, frozenset[int]]:
        return self._accounts[device].listed if device in self._accounts else {}

    def _running(self, device: str) -> Set[int]:
        return self._gpus[device].processes().keys()

    def _state(self, gpu: Gpu) -> _GpuState:
        """A pid that is invisible here may be a worker of ours in another namespace, so it explains nothing."""
        processes = gpu.processes()
        explained = sum(used for pid, used in processes.items() if used and self._exists(pid))
        return _GpuState(max(0, gpu.used() - explained), processes)
