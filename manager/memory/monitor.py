"""The latest measurement of memory, and what it means: how much may be handed out, how much each model needs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

from contract.config import MemorySettings, ModelSpec
from contract.status import LOADED, UP, DeviceStatus, State
from manager.memory.budget import Ceilings, budget, largest_budget, used_by_others
from manager.memory.device import GIB, MIB, MemoryDevice, Meter, Reading, RootProcess, Sample
from manager.memory.footprints import Footprints
from manager.state.process import Placement
from manager.state.worker import Worker


class MemoryMonitor:
    """Keeps the latest sample. Only `sample` measures; everything else here computes from what it measured last."""

    def __init__(self, meter: Meter, settings: MemorySettings, footprints: Footprints) -> None:
        self.meter = meter
        self.footprints = footprints
        self.devices = {device.id: device for device in meter.devices()}
        self._settings = settings
        self._sample: Sample | None = None
        self._sampled_at = float("-inf")

    @classmethod
    def in_home(cls, meter: Meter, settings: MemorySettings, home: Path) -> MemoryMonitor:
        """A monitor that keeps footprints in the state folder `home`."""
        return cls(meter, settings, Footprints(home / "manager" / "footprints.json"))

    def reconfigure(self, settings: MemorySettings) -> None:
        """Use the settings of a reloaded configuration."""
        self._settings = settings

    @property
    def age(self) -> float:
        """Seconds since the latest sample was taken."""
        return time.monotonic() - self._sampled_at

    async def sample(self, workers: Iterable[Worker]) -> None:
        """Measure all devices and workers, in a thread, and learn footprints from the workers that are ready."""
        living = [worker for worker in workers if worker.live and worker.process]
        roots = {worker.name: root_process(worker) for worker in living}
        begun_at = time.monotonic()
        sample = await asyncio.to_thread(self.meter.sample, roots)
        if begun_at < self._sampled_at:
            return  # a sample that began later has finished first: do not lose the freed memory that it saw
        self._sample, self._sampled_at = sample, begun_at
        for worker in living:
            worker.measured = max(sample.workers.get(worker.name, {}).values(), default=worker.measured)
            worker.measured_jointly = worker.name in sample.shared
            if worker.state in LOADED:
                self._learn(worker)
        if not any(worker.state in {State.STARTING, State.STOPPING} for worker in living):
            await asyncio.to_thread(self.meter.baseline, roots)

    async def measure_loaded(self, worker: Worker, workers: Iterable[Worker]) -> None:
        """Learn what loading took of a worker that is ready and was given no request yet."""
        await self.sample(workers)
        self._learn(worker)

    def budgets(self, workers: Iterable[Worker]) -> dict[str, int]:
        """Bytes of each device that all workers together may hold now, less other programs' memory and the margin."""
        own = self._measured_by_device(workers)
        return {
            id_: budget(self._reading(id_), own.get(id_, 0), *self._limits(device))
            for id_, device in self.devices.items()
        }

    def largest_budgets(self) -> dict[str, int]:
        """Bytes of each device that workers could hold if no other program used any."""
        return {id_: largest_budget(device.total, *self._limits(device)) for id_, device in self.devices.items()}

    def footprint(self, spec: ModelSpec, placement: Placement) -> tuple[int, bool]:
        """Bytes that a model needs there, and whether that was measured rather than guessed."""
        learned = self.footprints.learned(self._key(spec, placement), spec.memory_gb)
        return (learned, True) if learned is not None else (self.footprints.guess(spec), False)

    def required(self, spec: ModelSpec, placement: Placement) -> int:
        """Bytes without which the model cannot be loaded there; 0 if unknown. The entry's own figure may lower it."""
        measured = self.footprints.required(self._key(spec, placement), spec.memory_gb)
        return measured if spec.memory_gb is None else min(measured, int(spec.memory_gb * GIB))

    def forget(self, spec: ModelSpec, placements: Iterable[Placement], workers: Iterable[Worker]) -> bool:
        """Forget what was measured of the model; whether there was anything. Its `workers` are measured again."""
        for worker in workers:
            worker.loaded_bytes = worker.unconfirmed_peak = worker.confirmed_peak = 0
        forgotten = [self.footprints.forget(self._key(spec, placement)) for placement in placements]
        return any(forgotten)

    def end_request(self, worker: Worker, *, succeeded: bool) -> None:
        """Learn what the worker held meanwhile, unless the request failed: that is not what requests need."""
        if succeeded and worker.unconfirmed_peak:
            self._learn_peak(worker, worker.unconfirmed_peak)
        worker.failed_lately |= not succeeded
        worker.unconfirmed_peak = 0

    def raise_footprint(self, worker: Worker, workers: Iterable[Worker]) -> int:
        """The worker ran out of memory: expect a quarter more than it held. Returns the new footprint in bytes.

        The footprint stays within what is available beside the pinned `workers`, since a value that was never measured
        must not lead to the answer that the model can never fit.
        """
        device = self.devices[worker.placement.devices[0]]
        available = self.ceilings(device, [other for other in workers if other is not worker]).attainable
        raised = max(worker.committed, min(int(worker.committed * 1.25), available // MIB * MIB), 1)
        key = self._key(worker.spec, worker.placement)
        self.footprints.learn_shortage(key, raised, _start_of(worker), worker.spec.memory_gb)
        return raised

    def status(self, workers: Iterable[Worker]) -> list[DeviceStatus]:
        """Each device as the status page shows it."""
        workers = list(workers)
        own, budgets = self._measured_by_device(workers), self.budgets(workers)
        return [
            DeviceStatus(
                id=device.id,
                name=device.name,
                kind=device.kind,
                total=device.total,
                used=self._reading(device.id).used,
                foreign=used_by_others(self._reading(device.id), own.get(device.id, 0)),
                budget=budgets[device.id],
                committed=sum(w.committed for w in workers if w.live and device.id in w.placement.devices),
            )
            for device in self.devices.values()
        ]

    def _learn(self, worker: Worker) -> None:
        """Record what a ready worker holds. While it works, the peak only counts once a request succeeds."""
        if not worker.measured or worker.measured_jointly:
            return
        if not worker.leases:
            worker.loaded_bytes = min(worker.loaded_bytes or worker.measured, worker.measured)
            key = self._key(worker.spec, worker.placement)
            self.footprints.learn_loaded(key, worker.loaded_bytes, _start_of(worker), worker.spec.memory_gb)
        if worker.leases:
            worker.unconfirmed_peak = max(worker.unconfirmed_peak, worker.measured)
        else:
            self._set_apart_residue(worker)
            self._learn_peak(worker, worker.measured)

    def _set_apart_residue(self, worker: Worker) -> None:
        """What an idle worker still holds of requests that failed is not what requests need."""
        more = max(0, worker.measured - max(worker.confirmed_peak, worker.loaded_bytes))
        worker.residue = more if worker.failed_lately else min(worker.residue, more)
        worker.failed_lately = False

    def _learn_peak(self, worker: Worker, size: int) -> None:
        size -= worker.residue
        worker.confirmed_peak = max(worker.confirmed_peak, size)
        key, estimate = self._key(worker.spec, worker.placement), worker.spec.memory_gb
        self.footprints.learn(key, size, _start_of(worker), estimate)
        worker.expected = self.footprints.learned(key, estimate) or worker.expected

    def _key(self, spec: ModelSpec, placement: Placement) -> str:
        return self.footprints.key(spec, placement.dtype, self.devices[placement.devices[0]].name)

    def _reading(self, device: str) -> Reading:
        """The latest reading. Before the first one, the device counts as full."""
        total = self.devices[device].total
        return self._sample.readings[device] if self._sample else Reading(device, total, total)

    def _measured_by_device(self, workers: Iterable[Worker]) -> dict[str, int]:
        own: dict[str, int] = {}
        for worker in workers:
            for device in worker.placement.devices if worker.live else ():
                own[device] = own.get(device, 0) + worker.measured
        return own

    def ceilings(self, device: MemoryDevice, workers: Iterable[Worker]) -> Ceilings:
        """What limits the memory that models may have on a device. Pinned workers that are leaving do not."""
        workers = list(workers)
        margin, ceiling = self._limits(device)
        others = used_by_others(self._reading(device.id), self._measured_by_device(workers).get(device.id, 0))
        pinned: dict[str, int] = {}
        for worker in workers:
            if worker.pinned and worker.state in UP and device.id in worker.placement.devices:
                pinned[worker.model] = pinned.get(worker.model, 0) + worker.committed
        return Ceilings(device.id, device.kind, device.total, margin, ceiling, pinned, others)

    def _limits(self, device: MemoryDevice) -> tuple[int, int | None]:
        """The safety margin and the user's own ceiling, in bytes."""
        ceiling = self._settings.max_ram_gb if device.kind == "cpu" else self._settings.max_gpu_memory_gb
        return int(self._settings.safety_margin_gb * GIB), None if ceiling is None else int(ceiling * GIB)


def _start_of(worker: Worker) -> str:
    """What identifies the start in the file of footprints: worker names begin again with each manager."""
    return worker.process.uuid if worker.process else ""


def root_process(worker: Worker) -> RootProcess:
    """The worker as the meter knows it. It must have a process."""
    assert worker.process is not None
    return RootProcess(worker.process.pid, worker.process.uuid, worker.placement.devices)
