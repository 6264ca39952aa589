"""The engine of jobs, with an executor that answers at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from contract.config import JobSettings
from gateway.jobs.engine import JobEngine
from gateway.jobs.execution import Executor
from gateway.jobs.job import Job, JobFilter, JobResult, StoredRequest, Submission


class AtOnce:
    """Answers every request."""

    async def run(self, _job: Job, _request: StoredRequest) -> JobResult:
        return JobResult(200, "application/json", 2, b"{}")


def engine(folder: Path) -> JobEngine:
    executor = cast(Executor, cast(Any, AtOnce()))
    return JobEngine(folder, JobSettings(), executor, lambda _: True, lambda _: True)


async def test_stops_in_the_moment_in_which_a_job_ends(tmp_path: Path) -> None:
    jobs = engine(tmp_path)
    async with asyncio.timeout(60), jobs.opened():
        await jobs.submit(Submission("", "chat", "m", StoredRequest("/v1/chat/completions", "", [], b"{}")))
        while not (await jobs.page(JobFilter(None)))[0].has_ended:
            pass
        for _ in range(5):
            await jobs.counts()  # behind the last look of its loop, which now waits for an event
        jobs._wake.set()  # an event and the end come in one turn of the loop
