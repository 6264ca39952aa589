"""What a job is: a stored request with an owner, a state and, at its end, a result or an error."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class JobState(StrEnum):
    """The state of a job. `running`: it was handed to the manager, where it may still wait for its model."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """The request that a job runs: a POST to `path`, with the headers and the bytes that its client sent."""

    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to store. Times are seconds since the epoch.

    `owner` is who may see it. `type` is the name under which it was submitted. `model` groups jobs: those of one model
    run together. `expires`: it is given up if it has not ended by then. `webhook` is a URL to call once it has ended.
    A job of a `batch` has its line's number and `custom_id`.
    """

    owner: str
    type: str
    model: str
    request: StoredRequest
    priority: int = 0
    expires: float | None = None
    webhook: str | None = None
    webhook_secret: str | None = None
    batch: str | None = None
    custom_id: str | None = None
    line: int | None = None
    idempotency_key: str | None = None
    digest: str = ""  # of the request, to tell a repeated submission from another one with the same key
    id: str = field(default_factory=lambda: f"job_{uuid.uuid4().hex}")


@dataclass(frozen=True, slots=True)
class Job:
    """A stored job without its request and its result. Times are seconds since the epoch.

    `request_bytes` is the size of its request; 0: that is not kept. `run` counts the times that it was handed to the
    manager, `failures` those that ended with a dead worker or a model that could not be loaded. `error` is the `error`
    of the envelope. `result_file` is the name of the result's file in the state folder; smaller results are in the
    database. `webhook_sent` is when the URL `webhook` accepted its call, `webhook_error` why the last attempt failed.
    """

    seq: int
    id: str
    owner: str
    type: str
    path: str
    model: str
    priority: int
    state: JobState
    run: int
    failures: int
    created: float
    not_before: float
    expires: float | None
    started: float | None
    ended: float | None
    request_bytes: int
    result_status: int | None
    result_type: str | None
    result_bytes: int
    result_file: str | None
    error: dict[str, Any] | None
    digest: str
    webhook: str | None
    webhook_attempts: int
    webhook_sent: float | None
    webhook_error: str | None
    batch: str | None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def keeps_request(self) -> bool:
        """Whether its request can still be read. What an ended batch ran is in the batch's file."""
        return not self.has_ended or (self.batch is None and self.request_bytes > 0)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A submission that is stored as a job; unless it `is_new`, it was submitted before, with the same key.

    `ahead` is how many queued jobs of its model come first; None: it does not wait any more.
    """

    job: Job
    is_new: bool
    ahead: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a job that has begun, with its request; None: the request is in a file."""

    job: Job
    request: StoredRequest | None


@dataclass(frozen=True, slots=True)
class EngineTurn:
    """What one look at all jobs led to: runs that have begun, the ids of expired jobs, and when to look again."""

    runs: list[Run]
    expired: list[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a completed job was answered: bytes in memory, or the name of a file in the state folder."""

    status: int
    content_type: str
    size: int
    body: bytes | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are listed, newest first, of one owner or of all; `before` is the last job of the page before."""

    owner: str | None
    states: tuple[JobState, ...] = ()
    type: str | None = None
    before: str | None = None
    limit: int = 100
