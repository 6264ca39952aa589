"""NVIDIA GPUs: what each worker holds there, per process where the driver tells, else by change since a baseline.

The level of a GPU is what it has in use beyond what it lists by process. Where the driver tells everything, that is the
driver's own share and hardly moves, whoever comes and goes. Where it tells nothing (containers, WSL), the level is all
that is in use, and what it rose by since the baseline belongs to the workers that came since.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from manager.memory import MemoryDevice, Reading
from manager.memory.nvml import Gpu

TOLERANCE = 64 << 20
"""Bytes above its baseline at which a GPU still counts as back: the driver keeps small things of its own."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A worker as a GPU may know it: its uuid, its living pids, and the devices that it was placed on."""

    uuid: str
    pids: frozenset[int]
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shares:
    """One GPU's memory by the worker's uuid; `shared` are those that only a common figure is known of."""

    held: dict[str, int]
    shared: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a GPU: its level, and its processes' bytes by pid (None where the driver does not tell them)."""

    level: int
    processes: Mapping[int, int | None]

    def told(self, workers: Collection[Resident]) -> dict[str, int]:
        """Bytes of those workers of which the driver tells at least one process."""
        used = {worker.uuid: [self.processes.get(pid) or 0 for pid in worker.pids] for worker in workers}
        return {uuid: sum(sizes) for uuid, sizes in used.items() if any(sizes)}

    def listed(self, workers: Collection[Resident]) -> dict[str, frozenset[int]]:
        """The workers' pids that the driver lists, with or without their bytes."""
        return {worker.uuid: worker.pids & self.processes.keys() for worker in workers}


@dataclass(slots=True)
class _Ledger:
    """What we know of one GPU between two looks, by the worker's uuid."""

    base: int
    settled: dict[str, int] = field(default_factory=dict)  # bytes in the base of workers that the driver does not see
    newcomers: frozenset[str] = frozenset()  # came since the baseline, and the driver does not see them
    listed: dict[str, frozenset[int]] = field(default_factory=dict)  # pids that the driver has listed
    tells: bool = False  # the driver has told some worker's bytes: whoever it does not list holds nothing

    def share(self, look: _Look, gpu: str, workers: Collection[Resident]) -> Shares:
        """Told figures as they are; settled workers keep theirs; newcomers share what was gained."""
        told = look.told(workers)
        unseen = {worker.uuid: worker.pids for worker in workers if gpu in worker.devices and worker.uuid not in told}
        settled = {uuid: self.settled[uuid] for uuid in unseen if uuid in self.settled}
        self.newcomers = frozenset(uuid for uuid, pids in unseen.items() if pids and uuid not in settled)
        self.tells = self.tells or bool(told)
        for uuid, pids in look.listed(workers).items():
            self.listed[uuid] = self.listed.get(uuid, frozenset()) | pids
        gained = max(0, look.level - self.base)
        each = {uuid: gained // len(self.newcomers) for uuid in self.newcomers}
        return Shares(told | settled | each, self.newcomers if len(each) > 1 else frozenset())

    def settle(self, look: _Look, gpu: str, workers: Collection[Resident]) -> _Ledger:
        """A new ledger that starts from this look, in which there are no newcomers."""
        held, told = self.share(look, gpu, workers).held, look.told(workers)
        settled = {uuid: size for uuid, size in held.items() if uuid not in told}
        listed = {worker.uuid: self.listed[worker.uuid] for worker in workers}
        return _Ledger(look.level, settled, listed=listed, tells=self.tells)

    def is_back(self, level: int, uuid: str) -> bool:
        """Where newcomers change the level in ways that nobody tells, it proves nothing: then we do not wait for it."""
        without = self.base - self.settled.get(uuid, 0)
        return level <= without + TOLERANCE or (not self.tells and bool(self.newcomers - {uuid}))

    def forget(self, uuid: str) -> None:
        """Close a worker's account."""
        self.base -= self.settled.pop(uuid, 0)
        self.newcomers -= {uuid}
        self.listed.pop(uuid, None)


class Cuda:
    """All GPUs that the manager uses. `exists` says whether a pid is a process that we can see."""

    def __init__(self, gpus: Sequence[Gpu], exists: Callable[[int], bool] = psutil.pid_exists) -> None:
        self._gpus = {gpu.uuid: gpu for gpu in gpus}
        self._exists = exists
        self._lock = threading.Lock()  # samples, baselines and stops come from several threads
        self._ledgers = {gpu.uuid: _Ledger(self._look(gpu).level) for gpu in gpus}

    def devices(self) -> tuple[MemoryDevice, ...]:
        """The GPUs, numbered as `cuda:N` counts them."""
        return tuple(
            MemoryDevice(gpu.uuid, "cuda", gpu.name, gpu.total, index, gpu.bf16())
            for index, gpu in enumerate(self._gpus.values())
        )

    def readings(self) -> dict[str, Reading]:
        """What each GPU has in use now."""
        return {uuid: Reading(uuid, gpu.total, gpu.used()) for uuid, gpu in self._gpus.items()}

    def shares(self, workers: Collection[Resident]) -> dict[str, Shares]:
        """Who holds what of each GPU, by its UUID."""
        with self._lock:
            return {uuid: self._ledgers[uuid].share(self._look(gpu), uuid, workers) for uuid, gpu in self._gpus.items()}

    def baseline(self, workers: Collection[Resident]) -> None:
        """From now on, what a GPU gains belongs to newcomers. `workers` are all there are, and all are settled."""
        with self._lock:
            for uuid, gpu in self._gpus.items():
                self._ledgers[uuid] = self._ledgers[uuid].settle(self._look(gpu), uuid, workers)

    def holds(self, uuid: str, devices: Sequence[str]) -> set[int]:
        """Pids of a worker that the driver still lists on these devices; it lists some longer than they live."""
        with self._lock:
            known = {d: self._ledgers[d].listed[uuid] for d in devices if uuid in self._listed(d)}
            return {pid for device, pids in known.items() for pid in pids & self._gpus[device].processes().keys()}

    def back(self, uuid: str, devices: Sequence[str]) -> bool:
        """Whether the GPUs are where they were without this worker; if so, its account is closed."""
        with self._lock:
            known = [(self._ledgers[device], self._gpus[device]) for device in devices if device in self._gpus]
            if not all(ledger.is_back(self._look(gpu).level, uuid) for ledger, gpu in known):
                return False
            for ledger, _ in known:
                ledger.forget(uuid)
            return True

    def _listed(self, device: str) -> Mapping[str, frozenset[int]]:
        return self._ledgers[device].listed if device in self._ledgers else {}

    def _look(self, gpu: Gpu) -> _Look:
        """A pid that we cannot see may be one of our own workers under another name: it explains nothing."""
        processes = gpu.processes()
        explained = sum(used for pid, used in processes.items() if used and self._exists(pid))
        return _Look(max(0, gpu.used() - explained), processes)
