"""A process with an engine of jobs that submits, cancels and runs jobs until it is killed, and reports what it did."""

from __future__ import annotations

import asyncio
import random
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from contract.config import JobSettings
from gateway.jobs.engine import JobEngine
from gateway.jobs.execution import Executor
from gateway.jobs.job import Job, JobFilter, JobResult, JobState, StoredRequest, Submission
from gateway.jobs.payloads import LARGE

OWNER = "key:storm"
_AT_ONCE = 8
"""Jobs that are submitted before the next ones follow."""


class Echo:
    """Answers each request with its own body, after a moment."""

    async def run(self, _job: Job, request: StoredRequest) -> JobResult:
        await asyncio.sleep(0.002)
        return JobResult(200, "text/plain", len(request.body), request.body)


def engine(folder: Path) -> JobEngine:
    """The engine of the jobs in a folder."""
    executor = cast(Executor, cast(Any, Echo()))
    return JobEngine(folder, JobSettings(max_queued=10**6), executor, lambda _: True, lambda _: True)


def body_of(key: str) -> bytes:
    """The request of the job with a key; some are so large that they and their results are files."""
    return key.encode().ljust(LARGE + 1 if key.endswith("0") else 0, b".")


def submission(key: str) -> Submission:
    """The job with a key."""
    request = StoredRequest("/v1/chat/completions", "", [], body_of(key))
    return Submission(OWNER, "chat", "m", request, idempotency_key=key)


def run(folder: Path, start: int, seed: int, reports: Connection) -> None:
    """Submit jobs with the keys `start`, `start` + 1, … for ever. Reports (what, key or id, more)."""
    asyncio.run(_run(folder, start, random.Random(seed), reports))


async def _run(folder: Path, start: int, dice: random.Random, reports: Connection) -> None:
    jobs, number = engine(folder), start
    async with jobs.opened():
        while True:
            keys = [str(number + ahead) for ahead in range(_AT_ONCE)]
            number += len(keys)
            await asyncio.gather(*(_submit(jobs, key, reports) for key in keys))
            if dice.random() < 0.2:
                await _cancel_one(jobs, reports)
            for job in await jobs.page(JobFilter(OWNER, limit=20)):
                if job.has_ended:
                    reports.send(("ended", job.id, (job.state.value, job.ended)))


async def _submit(jobs: JobEngine, key: str, reports: Connection) -> None:
    reports.send(("submits", key, None))
    job = (await jobs.submit(submission(key))).job
    reports.send(("accepted", key, job.id))


async def _cancel_one(jobs: JobEngine, reports: Connection) -> None:
    for job in await jobs.page(JobFilter(OWNER, (JobState.QUEUED, JobState.RUNNING), limit=1)):
        reports.send(("removes", job.id, None))  # if it has ended meanwhile
        cancelled, removed = await jobs.delete(OWNER, job.id)
        if not removed:
            reports.send(("ended", job.id, (cancelled.state.value, cancelled.ended)))
