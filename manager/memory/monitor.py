"""How much memory there is to hand out, and how much each model takes: the last readings and what they taught."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

from contract.config import MemorySettings, ModelSpec
from contract.status import DeviceStatus, State
from manager.memory import GIB, MemoryDevice, Meter, Reading, Root, Sample
from manager.memory.budget import at_best, budget, foreign
from manager.memory.footprints import MIB, Footprints
from manager.scheduling.placement import dtype
from manager.state.worker import Worker


class MemoryMonitor:
    """Readings of every device, kept current by `sample`; all else here only looks at the last one."""

    def __init__(self, meter: Meter, memory: MemorySettings, footprints: Footprints) -> None:
        self.meter = meter
        self.memory = memory
        self.footprints = footprints
        self.devices = {device.id: device for device in meter.devices()}
        self._last: Sample | None = None
        self._at = float("-inf")

    @classmethod
    def over(cls, meter: Meter, memory: MemorySettings, home: Path) -> MemoryMonitor:
        """A gauge that remembers footprints under `home`."""
        return cls(meter, memory, Footprints(home / "manager" / "footprints.json"))

    @property
    def age(self) -> float:
        """Seconds since the last readings."""
        return time.monotonic() - self._at

    async def sample(self, workers: Iterable[Worker]) -> None:
        """Read all devices and trees, in a thread; note what each worker holds now, and learn from those that serve."""
        living = [w for w in workers if w.live and w.process]
        roots = {w.name: root_of(w) for w in living}
        asked = time.monotonic()
        sample = await asyncio.to_thread(self.meter.sample, roots)
        if asked < self._at:
            return  # one that was asked for later has come first: memory that it saw come back must not be forgotten
        self._last, self._at = sample, asked
        for worker in living:
            worker.measured = max(sample.workers.get(worker.name, {}).values(), default=worker.measured)
            worker.shares = worker.name in sample.shared
            if worker.state in {State.READY, State.DRAINING}:
                self._learn(worker)
        if not any(worker.state in {State.STARTING, State.STOPPING} for worker in living):
            await asyncio.to_thread(self.meter.baseline, roots)

    def budgets(self, workers: Iterable[Worker]) -> dict[str, int]:
        """Bytes of each device that the house may hold in all, now: foreign processes and the margin taken off."""
        own = self._own(workers)
        return {id_: budget(self._reading(id_), own.get(id_, 0), *self._limits(d)) for id_, d in self.devices.items()}

    def ceilings(self) -> dict[str, int]:
        """The same if nobody else held anything."""
        return {id_: at_best(device.total, *self._limits(device)) for id_, device in self.devices.items()}

    def footprint(self, spec: ModelSpec, device: MemoryDevice, kind: str) -> tuple[int, bool]:
        """Bytes that a model will take on a device, and whether that was learned rather than guessed."""
        learned = self.footprints.learned(self._key(spec, device, kind))
        return (learned, True) if learned is not None else (self.footprints.guess(spec), False)

    def _learn(self, worker: Worker) -> None:
        """Note what a serving worker holds; the highest value counts."""
        device = self.devices[worker.placement.devices[0]]
        if worker.measured and not worker.shares:
            key = self._key(worker.spec, device, worker.placement.kind)
            self.footprints.learn(key, worker.measured)
            worker.expected = self.footprints.learned(key) or worker.expected

    def raise_footprint(self, worker: Worker, workers: Iterable[Worker]) -> int:
        """It ran out of memory: it needs a quarter more than what it had. Returns the new footprint.

        No more than can be had beside the pinned `workers`: what was never measured must not mean "never fits".
        """
        device = self.devices[worker.placement.devices[0]]
        pinned = [w for w in workers if w is not worker and w.spec.pinned and w.live]
        most = self.ceilings()[device.id] - sum(w.held for w in pinned if device.id in w.placement.devices)
        raised = max(worker.held, min(int(worker.held * 1.25), most // MIB * MIB), 1)
        self.footprints.learn(self._key(worker.spec, device, worker.placement.kind), raised)
        return raised

    def status(self, workers: Iterable[Worker]) -> list[DeviceStatus]:
        """Each device as the status page shows it."""
        workers = list(workers)
        own, budgets = self._own(workers), self.budgets(workers)
        return [
            DeviceStatus(
                id=device.id,
                name=device.name,
                kind=device.kind,
                total=device.total,
                used=self._reading(device.id).used,
                foreign=foreign(self._reading(device.id), own.get(device.id, 0)),
                budget=budgets[device.id],
                committed=sum(w.held for w in workers if w.live and device.id in w.placement.devices),
            )
            for device in self.devices.values()
        ]

    def _key(self, spec: ModelSpec, device: MemoryDevice, kind: str) -> str:
        return self.footprints.key(spec, dtype(spec, device, kind), device.name)

    def _reading(self, device: str) -> Reading:
        """The last one; before the first, the device counts as full."""
        total = self.devices[device].total
        return self._last.readings[device] if self._last else Reading(device, total, total)

    def _own(self, workers: Iterable[Worker]) -> dict[str, int]:
        own: dict[str, int] = {}
        for worker in workers:
            for device in worker.placement.devices if worker.live else ():
                own[device] = own.get(device, 0) + worker.measured
        return own

    def _limits(self, device: MemoryDevice) -> tuple[int, int | None]:
        """The margin and the user's own ceiling, in bytes."""
        most = self.memory.max_ram_gb if device.kind == "cpu" else self.memory.max_gpu_memory_gb
        return int(self.memory.safety_margin_gb * GIB), None if most is None else int(most * GIB)


def root_of(worker: Worker) -> Root:
    """The worker as the meter knows it. It must have a process."""
    assert worker.process is not None
    return Root(worker.process.pid, worker.process.uuid, worker.placement.devices)
