"""Responses in the background: each is the result of a job, and is stored as soon as it is looked at."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

from contract.errors import NotFound, Unavailable
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Job, JobState, Submission
from gateway.responses.store import ResponseStore, StoredResponse

_KEPT = ("id", "background", "store", "previous_response_id", "created_at")
"""What the result of the job says of itself, and not of the response."""


class BackgroundResponses:
    """The responses in the background, over the jobs that make them."""

    def __init__(self, store: ResponseStore, jobs: JobEngine) -> None:
        self._store = store
        self._jobs = jobs

    async def submit(self, stored: StoredResponse, submission: Submission) -> None:
        """Store a queued response, and the job that makes it. Raises what submitting a job raises."""
        await self._store.add(stored)
        await self._jobs.submit(submission)

    async def current(self, stored: StoredResponse) -> StoredResponse:
        """A response as it is now. Once its job has ended, it is stored in place of the job."""
        if stored.job is None:
            return stored
        job = await self._job(stored)
        document = _document(stored.response, job, await self._result(job))
        current = replace(stored, response=document)
        if job is None or job.has_ended:
            current = replace(current, job=None)
            with suppress(Unavailable):  # such as a full disk: the next look stores it
                await self._store.add(current)
        return current

    async def cancel(self, stored: StoredResponse) -> None:
        """Cancel the job of a response, if it has not ended."""
        job = await self._job(stored)
        if job is not None and not job.has_ended:
            await self._jobs.delete(stored.owner, job.id)

    async def _job(self, stored: StoredResponse) -> Job | None:
        """The job of a response, if it has one that is still kept."""
        try:
            return await self._jobs.get(stored.owner, stored.job) if stored.job else None
        except NotFound:
            return None

    async def _result(self, job: Job | None) -> bytes:
        if job is None or job.state is not JobState.COMPLETED:
            return b""
        store = await self._jobs.store()
        result = await store.result_of(job)
        if result.body is not None:
            return result.body
        assert result.file
        with await asyncio.to_thread(store.open_file, result.file) as file:
            return await asyncio.to_thread(file.read)


def _document(queued: dict[str, Any], job: Job | None, result: bytes) -> dict[str, Any]:
    """A response, given the document of its submission, its job, and what a completed job was answered."""
    if job is None:
        return {**queued, **_failed("Its job is no longer kept; `jobs.keep` says how long one is.")}
    if job.state is JobState.COMPLETED:
        return {**json.loads(result), **{name: queued[name] for name in _KEPT}}
    if job.state is JobState.CANCELLED:
        return {**queued, "status": "cancelled"}
    if job.has_ended:
        return {**queued, **_failed((job.error or {}).get("message") or f"Its job is {job.state}.")}
    return {**queued, "status": "in_progress" if job.state is JobState.RUNNING else "queued"}


def _failed(message: str) -> dict[str, Any]:
    return {"status": "failed", "error": {"code": "server_error", "message": message}}
