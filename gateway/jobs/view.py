"""A job as its owner sees it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway.jobs.job import Job, JobState


def view(job: Job, ahead: int | None = None, progress: dict[str, Any] | None = None) -> dict[str, Any]:
    """The fields of a job, without its result.

    `ahead`: how many queued jobs of its model come first. `progress`: what is known of a running one.
    """
    return {
        "job_id": job.id,
        "object": "job",
        "owner": job.owner.partition(":")[2] or None,
        "status": job.state,
        "model_type": job.type,
        "path": job.path,
        "model": job.model,
        "priority": job.priority,
        "ahead": ahead,
        "progress": progress,
        "attempts": job.run,
        "created_at": _iso(job.created),
        "started_at": _iso(job.started),
        "completed_at": _iso(job.ended),
        "expires_at": _iso(job.expires),
        "processing_time": round(job.ended - job.started, 3) if job.ended and job.started else None,
        "request_bytes": job.request_bytes,
        "request_url": f"/jobs/{job.id}/request" if job.keeps_request else None,
        "result_type": job.result_type,
        "result_bytes": job.result_bytes if job.state is JobState.COMPLETED else None,
        "result_url": f"/jobs/{job.id}/result" if job.state is JobState.COMPLETED else None,
        "error": job.error,
        "webhook": job.webhook and _webhook(job),
    }


def _webhook(job: Job) -> dict[str, Any]:
    sent = _iso(job.webhook_sent)
    return {"url": job.webhook, "attempts": job.webhook_attempts, "accepted_at": sent, "error": job.webhook_error}


def _iso(time: float | None) -> str | None:
    return None if time is None else datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
