"""Metrics that the manager's own code records. `manager.scheduling.collector` reads the rest from the scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from contract.asgi.metrics import REGISTRY
from manager.recent_work import RECENT, WorkCounts

LOAD_SECONDS = Histogram(
    "model_load_duration_seconds",
    "From the start of the worker's process until it is ready",
    ["model"],
    registry=REGISTRY,
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600),
)
INFERENCE_SECONDS = Histogram(
    "model_inference_duration_seconds",
    "From a request's arrival at its worker until the last byte of the answer, of requests that succeeded",
    ["model"],
    registry=REGISTRY,
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000),
)
STEP_ROWS = Histogram(
    "chat_step_rows",
    "Answers that share a step of the model",
    ["model"],
    registry=REGISTRY,
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
PROMPT_TOKENS = Counter(
    "chat_prompt_tokens_total",
    "Prompt tokens, read by the model or reused from an earlier request",
    ["model", "source"],
    registry=REGISTRY,
)
IMAGES = Counter("images_total", "Images that were drawn or looked at", ["model"], registry=REGISTRY)
DOWNLOADS = Counter(
    "model_downloads_total",
    "Downloads of models that have ended, `done`, `failed` or `cancelled`",
    ["result"],
    registry=REGISTRY,
)
DOWNLOADS_RUNNING = Gauge("model_downloads_running", "Downloads of models that run", registry=REGISTRY)
DOWNLOAD_BYTES = Gauge(
    "model_download_bytes",
    "Bytes on the disk of a model whose download runs; while it verifies them, those that are verified",
    ["model"],
    registry=REGISTRY,
)
CONFIGURATION_VALID = Gauge(
    "configuration_valid",
    "1, or 0 while config.yaml is invalid and the last valid one is in force",
    registry=REGISTRY,
)
SPOOLED = Gauge(
    "spooled_bytes",
    "Disk space of answers that their clients have not read yet, and of requests that wait",
    registry=REGISTRY,
)
SPOOL_FULL = Counter(
    "spool_full_total",
    "Answers and requests that were not read further: the `limit` was reached, or the `disk` is full",
    ["reason"],
    registry=REGISTRY,
)


def count_work(model: str, report: Mapping[str, Any]) -> None:
    """Add what a worker has counted since its last report. The sums are kept here: they outlive the worker."""
    rows = STEP_ROWS.labels(model)
    for number, steps in report["steps"].items():
        for _ in range(steps):
            rows.observe(int(number))
    for source, tokens in report["tokens"].items():
        PROMPT_TOKENS.labels(model, source).inc(tokens)
    images = report.get("images", 0)
    IMAGES.labels(model).inc(images)
    generated = sum(int(number) * steps for number, steps in report["steps"].items())  # each row has a token of a step
    RECENT.count(model, WorkCounts(tokens=generated, prompt_tokens=report["tokens"].get("read", 0), images=images))
