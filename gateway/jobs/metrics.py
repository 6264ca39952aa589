"""Prometheus metrics of jobs. How many wait and run comes from the database, when the page is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from contract.asgi.metrics import REGISTRY
from gateway.jobs.job import ENDED, Job, JobState

_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 43200)
_QUEUED = Gauge("jobs_queued", "Jobs that wait", registry=REGISTRY)
_RUNNING = Gauge("jobs_running", "Jobs that were handed to the manager and have not ended", registry=REGISTRY)
_ENDED = Counter("jobs_ended_total", "Jobs that have ended, by state", ["state"], registry=REGISTRY)
_WAIT = Histogram(
    "job_wait_seconds", "Time from a job's submission to its first run", registry=REGISTRY, buckets=_SECONDS
)
_RUN = Histogram("job_run_seconds", "Time from a job's first run to its end", registry=REGISTRY, buckets=_SECONDS)
WEBHOOKS = Counter(
    "job_webhooks_total", "Attempts at webhooks of jobs: accepted, failed or given_up", ["outcome"], registry=REGISTRY
)
for _state in ENDED:
    _ENDED.labels(_state)  # so that the page has them before the first job


def show(counts: Mapping[str, int]) -> None:
    """Set how many jobs wait and run."""
    _QUEUED.set(counts.get(JobState.QUEUED, 0))
    _RUNNING.set(counts.get(JobState.RUNNING, 0))


def began(job: Job) -> None:
    """Record a run of a job."""
    if job.run == 1 and job.started is not None:
        _WAIT.observe(max(0.0, job.started - job.created))


def ended(state: JobState, job: Job | None = None, now: float = 0.0) -> None:
    """Record the end of a job; `job` is one that ran until `now`."""
    _ENDED.labels(state).inc()
    if job is not None and job.started is not None:
        _RUN.observe(max(0.0, now - job.started))
