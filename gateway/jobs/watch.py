"""What the owner of a job sees while it runs: what it waits for, its steps, and each change as an event."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from contract.errors import NotFound, ServeError
from contract.server_events import server_event
from gateway.forwarding.manager_client import ManagerClient
from gateway.jobs.engine import JobEngine
from gateway.jobs.execution import run_id
from gateway.jobs.job import Job, JobState
from gateway.jobs.view import view

INTERVAL = 0.5
"""Seconds between two looks at a job."""
_PULSE = 10.0
"""Seconds after which a comment says that the stream is alive."""


class JobWatch:
    """Looks at jobs, and asks the manager about those that run."""

    def __init__(self, engine: JobEngine, manager: ManagerClient) -> None:
        self._engine = engine
        self._manager = manager
        self._reports: dict[str, asyncio.Task[dict[str, Any] | None]] = {}

    async def look(self, job: Job) -> dict[str, Any]:
        """The fields of a job as it is now."""
        if job.state is JobState.QUEUED:
            return view(job, ahead=await (await self._engine.store()).place(job))
        return view(job, progress=await self._progress(job) if job.state is JobState.RUNNING else None)

    async def events(self, job: Job) -> AsyncIterator[bytes]:
        """Events with the fields of the job, named by its state: at once, and at each change until its end."""
        last, sent_at = "", time.monotonic()
        while True:
            data = json.dumps(await self.look(job), ensure_ascii=False)
            if data != last:
                yield server_event(data.encode(), job.state)
                last, sent_at = data, time.monotonic()
            elif time.monotonic() > sent_at + _PULSE:
                yield b": still here\n\n"
                sent_at = time.monotonic()
            if job.has_ended:
                return
            await asyncio.sleep(INTERVAL)
            try:
                job = await self._engine.get(job.owner, job.id)
            except NotFound:
                return  # its owner has removed it

    async def _progress(self, job: Job) -> dict[str, Any] | None:
        """`message` says what the job waits for; `done` of `total` are the engine's steps. None: nothing is known.

        Streams of the same run share one question to the manager in each interval.
        """
        id_ = run_id(job)
        if id_ not in self._reports:
            self._reports[id_] = asyncio.create_task(self._ask(id_))
            asyncio.get_running_loop().call_later(INTERVAL, self._reports.pop, id_, None)
        return await asyncio.shield(self._reports[id_])

    async def _ask(self, id_: str) -> dict[str, Any] | None:
        try:
            reply = await self._manager.call("GET", f"/waits?request={quote(id_, safe='')}", timeout=5)
            report: dict[str, Any] = reply.json()
        except ServeError:
            return None
        if wait := report["wait"]:
            return {"message": wait["message"], "done": 0, "total": None}
        return report.get("progress") and {"message": None, **report["progress"]}
