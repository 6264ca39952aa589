"""Adds a point to the history every few seconds, and shows the points as series."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from contract.history import DeviceHistory, History, ModelRate, WorkerMemory
from manager.history.rings import COUNTS, MAX_DEVICES, Moment, Rings, Share
from manager.memory.monitor import MemoryMonitor
from manager.recent_work import RECENT, RecentWork, WorkCounts
from manager.scheduling.pool import Pool

log = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two points."""
POINTS = 720
"""An hour of points."""
_RATED = 2
"""Points over which the rates of models are averaged."""


class Recorder:
    """The history of one manager. `record` is called from the event loop, like everything that reads the pool."""

    def __init__(self, pool: Pool, monitor: MemoryMonitor, work: RecentWork = RECENT) -> None:
        self._pool, self._monitor, self._work = pool, monitor, work
        self._devices = list(monitor.devices.values())[:MAX_DEVICES]
        self._last = time.monotonic()
        self._rates: list[tuple[float, dict[str, WorkCounts]]] = []
        self.rings = Rings(POINTS, len(self._devices))

    async def run(self) -> None:
        """Record for ever. A point whose memory cannot be measured has that of the last measurement."""
        while True:
            await asyncio.sleep(INTERVAL)
            if self._monitor.age > INTERVAL / 2:
                try:
                    await self._monitor.sample(self._pool.supervisor.workers)
                except Exception:
                    log.exception("memory could not be measured for the history")
            self.record()

    def record(self) -> None:
        """Add a point."""
        supervisor, now = self._pool.supervisor, time.monotonic()
        seconds, self._last = now - self._last, now
        total, models = self._work.take()
        self._rates = [*self._rates[1 - _RATED :], (seconds, models)]
        status = self._monitor.status(supervisor.workers)[: len(self._devices)]
        places = {device.id: number for number, device in enumerate(self._devices)}
        shares = [
            Share(places[device], worker.name, worker.model, worker.measured)
            for worker in supervisor.workers
            for device in worker.placement.devices
            if worker.measured and device in places
        ]
        used, foreign = [device.used for device in status], [device.foreign for device in status]
        waiting, running = len(self._pool.queue), supervisor.leases
        self.rings.append(Moment(round(time.time(), 3), seconds, total, waiting, running, used, foreign, shares))

    def history(self, since: float = 0.0) -> History:
        """The points after a time in wall-clock seconds, and the starts that have ended after it."""
        rings, slots = self.rings, self.rings.slots(since)
        workers = self._workers(slots)
        devices = [
            DeviceHistory(
                id=device.id, name=device.name, kind=device.kind, total=device.total,
                used=rings.used(number, slots), foreign=rings.foreign(number, slots), workers=workers[number],
            )
            for number, device in enumerate(self._devices)
        ]  # fmt: skip
        return History(
            interval=INTERVAL,
            times=rings.times(slots),
            seconds=[round(span, 3) for span in rings.seconds(slots)],
            devices=devices,
            models=self._model_rates(),
            starts=[start for start in self._work.starts if start.time > since],
            **{name: rings.counts(name, slots) for name in COUNTS},
        )

    def _workers(self, slots: Sequence[int]) -> list[list[WorkerMemory]]:
        """By device, the workers that had memory there."""
        series: dict[tuple[int, str], WorkerMemory] = {}
        for index, slot in enumerate(slots):
            for share in self.rings.shares(slot):
                key = share.device, share.worker
                memory = series.get(key)
                if memory is None:
                    memory = WorkerMemory(worker=share.worker, model=share.model, first=index, bytes=[])
                    series[key] = memory
                memory.bytes += [None] * (index - memory.first - len(memory.bytes)) + [share.bytes]
        return [[memory for (device, _), memory in series.items() if device == d] for d in range(len(self._devices))]

    def _model_rates(self) -> list[ModelRate]:
        seconds = sum(span for span, _ in self._rates)
        sums: dict[str, WorkCounts] = {}
        for _, models in self._rates:
            for id_, counts in models.items():
                sums.setdefault(id_, WorkCounts()).add(counts)
        return [
            ModelRate(
                model=id_,
                requests=round(counts.requests / seconds, 3),
                tokens=round(counts.tokens / seconds, 3),
                images=round(counts.images / seconds, 3),
            )
            for id_, counts in sums.items()
            if seconds > 0
        ]
