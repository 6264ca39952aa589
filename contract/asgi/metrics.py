"""The Prometheus metrics that every program keeps, and the page that exports them."""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response

REGISTRY = CollectorRegistry()
"""A registry of our own: the default one would also export whatever libraries register there."""

REQUESTS = Counter("api_requests_total", "Requests answered", ["endpoint", "status"], registry=REGISTRY)
DURATION = Histogram(
    "api_request_duration_seconds",
    "Time from a request's head to its answer's last byte",
    ["endpoint"],
    registry=REGISTRY,
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300),
)
ACTIVE = Gauge("active_requests", "Requests in flight", registry=REGISTRY)
STALLED_CLIENTS = Counter(
    "stalled_clients_total", "Clients that were cut off because they did not read their answer", registry=REGISTRY
)


def count(endpoint: str, status: int, seconds: float) -> None:
    """Record one finished request."""
    _requests(endpoint, status).inc()
    _duration(endpoint).observe(seconds)


def requests_answered(*, without: Container[str] = ()) -> int:
    """How many requests this program has answered, without those to some endpoints."""
    samples = (sample for family in REQUESTS.collect() for sample in family.samples if sample.name.endswith("_total"))
    return int(sum(sample.value for sample in samples if sample.labels["endpoint"] not in without))


# `labels()` takes a lock and builds a tuple of strings on every call; few label sets exist, so they are cached.
_requests = lru_cache(4096)(REQUESTS.labels)
_duration = lru_cache(1024)(DURATION.labels)


async def page(_: Request) -> Response:
    """GET /metrics: this program's metrics in Prometheus' text format."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
