"""Metrics about models and memory, read from the scheduler whenever Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contract.status import LOADED
from manager.memory.monitor import MemoryMonitor
from manager.scheduling.pool import Pool


class PoolCollector(Collector):
    """Gauges whose values are current at the time of the scrape."""

    def __init__(self, pool: Pool, monitor: MemoryMonitor) -> None:
        self._pool = pool
        self._monitor = monitor

    def collect(self) -> Iterable[Metric]:
        loaded = GaugeMetricFamily("models_loaded", "Workers that are ready", labels=["model"])
        waiting = GaugeMetricFamily("requests_waiting", "Requests that wait for a worker", labels=["model"])
        for model in self._pool.models:
            workers = self._pool.supervisor.workers_of(model)
            loaded.add_metric([model], sum(worker.state in LOADED for worker in workers))
            waiting.add_metric([model], self._pool.queue.count(model))
        return [loaded, waiting, *self._memory(), self._joins(), self._caches()]

    def _memory(self) -> Iterable[Metric]:
        used = GaugeMetricFamily("memory_used_bytes", "Memory in use on each device", labels=["device"])
        gpus = GaugeMetricFamily("gpu_memory_used_bytes", "Memory in use on each GPU", labels=["device"])
        for device in self._monitor.status(self._pool.supervisor.workers):
            for family in (used,) if device.kind == "cpu" else (used, gpus):
                family.add_metric([device.id], device.used)
        return used, gpus

    def _joins(self) -> Metric:
        joins = GaugeMetricFamily("chat_joins", "1 if chat requests share the model's steps", labels=["model"])
        for model in self._pool.models.values():
            if model.joins is not None:
                joins.add_metric([model.id], float(model.joins == "yes"))
        return joins

    def _caches(self) -> Metric:
        caches = GaugeMetricFamily("worker_cache_bytes", "Memory for requests to come", labels=["worker", "cache"])
        for worker in self._pool.supervisor.workers:
            for name, size in worker.cache_bytes.items():
                caches.add_metric([worker.name, name], size)
        return caches
