"""Prometheus metrics of jobs."""

from __future__ import annotations

from prometheus_client import Counter

from contract.asgi.metrics import REGISTRY

WEBHOOKS = Counter(
    "job_webhooks_total", "Attempts at webhooks of jobs: accepted, failed or given_up", ["outcome"], registry=REGISTRY
)
