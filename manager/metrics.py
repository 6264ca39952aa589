"""What Prometheus sees of models and memory, read from the pool when it asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contract.asgi.metrics import REGISTRY
from contract.status import State

if TYPE_CHECKING:
    from manager.memory.monitor import MemoryMonitor
    from manager.scheduling.pool import Pool

LOAD = Histogram(
    "model_load_duration_seconds",
    "From birth to ready",
    ["model"],
    registry=REGISTRY,
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600),
)


class PoolCollector(Collector):
    """Gauges that are true at the moment of the question."""

    def __init__(self, pool: Pool, gauge: MemoryMonitor) -> None:
        self._pool = pool
        self._gauge = gauge

    def collect(self) -> Iterable[Metric]:
        loaded = GaugeMetricFamily("models_loaded", "Workers that are ready", labels=["model"])
        waiting = GaugeMetricFamily("requests_waiting", "Requests that wait for a worker", labels=["model"])
        for model in self._pool.models:
            ready = [w for w in self._pool.roster.of(model) if w.state in {State.READY, State.DRAINING}]
            loaded.add_metric([model], len(ready))
            waiting.add_metric([model], self._pool.waiting.count(model))
        used = GaugeMetricFamily("gpu_memory_used_bytes", "Memory in use on each device", labels=["device"])
        for device in self._gauge.status(self._pool.roster.workers):
            used.add_metric([device.id], device.used)
        return [loaded, waiting, used]
