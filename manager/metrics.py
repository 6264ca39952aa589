"""Metrics that the manager's own code records. `manager.scheduling.collector` reads the rest from the scheduler."""

from __future__ import annotations

from prometheus_client import Histogram

from contract.asgi.metrics import REGISTRY

LOAD_SECONDS = Histogram(
    "model_load_duration_seconds",
    "From the start of the worker's process until it is ready",
    ["model"],
    registry=REGISTRY,
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600),
)
