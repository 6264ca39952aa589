"""Jobs: requests that are stored now and run later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from client.call import ApiCall, EventCall, body_of, known_fields

ENDED = frozenset({"completed", "failed", "cancelled", "expired"})
"""The states that a job does not leave."""


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job. `ahead` is how many queued jobs of its model come first, `result` the JSON of its answer.

    `progress` says what it waits for (`message`), or how many steps are `done` of its `total`.
    """

    job_id: str
    status: str
    model_type: str
    model: str | None = None
    path: str = ""
    priority: int = 0
    ahead: int | None = None
    attempts: int = 0
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    processing_time: float | None = None
    progress: dict[str, Any] | None = None
    error: Any = None
    result: Any = field(default=None, repr=False)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def has_ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A batch: requests of a file that run as jobs. Times are seconds since the epoch.

    `request_counts` are `total`, `completed` and `failed`. Its files with answers and errors are at `/v1/files`.
    """

    id: str
    status: str
    endpoint: str
    input_file_id: str
    created_at: float
    expires_at: float | None = None
    request_counts: dict[str, int] = field(default_factory=dict)
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: dict[str, Any] | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


def submit_job(model_type: str, body: Mapping[str, Any]) -> ApiCall[JobReport]:
    """Store a request. `model_type` is a task or a path of the API, `body` what that path takes."""
    return ApiCall("POST", f"/jobs/submit/{quote(model_type)}", _job, body)


def jobs(
    status: str | None = None, *, model_type: str | None = None, limit: int | None = None, before: str | None = None
) -> ApiCall[list[JobReport]]:
    """Your jobs, newest first; `status` may be several, separated by commas. `before` is a page's last id."""
    query = body_of(status=status, model_type=model_type, limit=None if limit is None else str(limit), before=before)
    return ApiCall("GET", "/jobs", lambda document: [_job(row) for row in document["jobs"]], query=query)


def job(job_id: str) -> ApiCall[JobReport]:
    """One job, with its result once it is completed."""
    return ApiCall("GET", f"/jobs/{quote(job_id)}", _job)


def follow_job(job_id: str) -> EventCall[JobReport]:
    """A job as it is now, and after each change until its end."""
    return EventCall("GET", f"/jobs/{quote(job_id)}/events", _job, own_errors=True)


def delete_job(job_id: str) -> ApiCall[str]:
    """Cancel a job that has not ended, or remove one that has. Returns what was done."""
    return ApiCall("DELETE", f"/jobs/{quote(job_id)}", lambda document: str(document["message"]))


def batches(*, limit: int | None = None, after: str | None = None) -> ApiCall[list[BatchReport]]:
    """Your batches, newest first; `after` is a page's last id."""
    query = body_of(limit=None if limit is None else str(limit), after=after)
    return ApiCall("GET", "/v1/batches", lambda page: [_batch(row) for row in page["data"]], query=query)


def batch(batch_id: str) -> ApiCall[BatchReport]:
    """One batch."""
    return ApiCall("GET", f"/v1/batches/{quote(batch_id)}", _batch)


def cancel_batch(batch_id: str) -> ApiCall[BatchReport]:
    """Cancel a batch. What has ended by then is in its files."""
    return ApiCall("POST", f"/v1/batches/{quote(batch_id)}/cancel", _batch)


def _batch(row: dict[str, Any]) -> BatchReport:
    return known_fields(BatchReport, row, raw=row)


def _job(row: dict[str, Any]) -> JobReport:
    return known_fields(JobReport, row, raw=row)
