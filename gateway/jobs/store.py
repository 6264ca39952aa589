"""Stores jobs, and changes their states: every change is one transaction that names the state that it leaves.

A run that was taken from a job, because the job was cancelled or its gateway died, cannot end the job any more.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from contract.errors import EngineFailed, ServeError
from gateway.jobs import leases, queries
from gateway.jobs.job import Accepted, EngineTurn, Job, JobFilter, JobResult, JobState, Run, StoredRequest, Submission
from gateway.jobs.payloads import LARGE, Payloads, request_file, result_file
from gateway.jobs.schema import STEPS
from gateway.storage.database import Database, DatabaseFailed, SqlConnection, T
from gateway.storage.postgres import PostgresBackend
from gateway.storage.sqlite import SqliteBackend

_STRAY = 3600.0
"""Seconds after which a file without a row is removed where other gateways use the folder, which may be writing it."""
_REQUEST = "SELECT path, query, headers, body FROM jobs WHERE id = ?"

log = logging.getLogger(__name__)


class JobStore:
    """The jobs in one folder, or in PostgreSQL and a folder. `clock` gives the seconds since the epoch."""

    def __init__(
        self, folder: Path, max_queued: int, clock: Callable[[], float] = time.time, url: str | None = None
    ) -> None:
        """`url` is that of PostgreSQL; without one, the database is in the folder."""
        self.shared = url is not None
        self._backend = PostgresBackend(url, STEPS) if url else SqliteBackend(folder / "jobs.db", STEPS)
        self._database = Database(self._backend)
        self._payloads = self.payloads = Payloads(folder / "files")
        self._gateway = uuid.uuid4().hex
        self._limit = queries.QueueLimit(max_queued)
        self._clock = clock

    async def open(self) -> None:
        """Open the database, and put the jobs that ran when it was last used back into the queue.

        Raises OSError, DatabaseFailed or NewerDatabase.
        """
        await self._database.open()
        await self.beat()
        kept = await self._database.run(queries.files_in_use)
        await asyncio.to_thread(self._payloads.remove_all_but, kept, _STRAY if self.shared else 0.0)

    async def beat(self) -> set[str]:
        """Show that this gateway lives, and take over the jobs of those that do not. The ids of its jobs that run."""

        def work(connection: SqlConnection) -> tuple[int, set[str]]:
            leases.beat(connection, self._gateway)
            return leases.take_over(connection, self._clock()), leases.held(connection, self._gateway)

        taken, held = await self._database.run(work)
        if taken:
            log.info("%d jobs of a gateway that is gone run again", taken)
        return held

    def now(self) -> float:
        """The time by the store's clock."""
        return self._clock()

    async def run(self, work: Callable[[SqlConnection, float], T]) -> T:
        """Run work of those that keep other tables in the same database; it gets the time, too."""
        return await self._database.run(lambda connection: work(connection, self._clock()))

    async def close(self) -> None:
        """Leave the database. May be called again."""
        with suppress(DatabaseFailed):
            if self._database.is_open:
                await self._database.run(lambda connection: leases.leave(connection, self._gateway))
        await self._database.close()

    async def add(self, submission: Submission) -> Accepted:
        """Store a job, and return it once it is on the disk.

        Raises IdempotencyConflict, QueueFull, OSError or DatabaseFailed.
        """

        def work(connection: SqlConnection) -> Accepted:
            job, is_new = queries.add(connection, submission, self._limit, self._clock())
            return Accepted(job, is_new, queries.place(connection, job))

        file = request_file(submission.id) if len(submission.request.body) > LARGE else None
        if file:
            await asyncio.to_thread(self._payloads.write, file, submission.request.body)
        try:
            accepted = await self._database.run(work)
        except Exception:  # not a cancellation: then the job may be stored all the same
            self._payloads.remove([file] if file else [])
            raise
        if file and not accepted.is_new:
            self._payloads.remove([file])
        return accepted

    async def get(self, owner: str | None, id_: str) -> Job:
        """The owner's job; None: that of any owner. Raises NotFound, also for the job of another owner."""
        return await self._database.run(lambda connection: queries.get(connection, owner, id_), durable=False)

    async def page(self, wanted: JobFilter) -> list[Job]:
        """Jobs, newest first. Raises NotFound if `before` is no job of the owner's."""
        return await self._database.run(lambda connection: queries.page(connection, wanted))

    async def place(self, job: Job) -> int | None:
        """How many queued jobs of the same model are ahead of a queued one."""
        return await self._database.run(lambda connection: queries.place(connection, job), durable=False)

    async def request_of(self, run: Run) -> StoredRequest:
        """What a run sends. Raises ServeError if it is gone."""
        if run.request:
            return run.request
        request, file = await self.kept_request(run.job)
        if not file:
            return request
        try:
            return dataclasses.replace(request, body=await asyncio.to_thread(self._payloads.read, file))
        except FileNotFoundError:
            raise EngineFailed("The job's request is gone from the state folder. Submit it again.") from None

    async def kept_request(self, job: Job) -> tuple[StoredRequest, str | None]:
        """A job's request, and the name of the file with its body, if that is large.

        Raises NotFound if the job has been removed meanwhile.
        """
        row = await self._database.run(
            lambda connection: connection.execute(_REQUEST, (job.id,)).fetchone(), durable=False
        )
        if row is None:
            raise queries.no_such_job(job.id)
        path, query, headers, body = row
        return queries.stored_request(path, query, headers, body or b""), request_file(job.id) if body is None else None

    async def result_of(self, job: Job) -> JobResult:
        """What a completed job was answered. Raises NotFound if it has been removed meanwhile."""
        query = "SELECT result FROM jobs WHERE id = ? AND state = 'completed'"
        row = await self._database.run(lambda connection: connection.execute(query, (job.id,)).fetchone())
        if row is None:
            raise queries.no_such_job(job.id)
        body = None if row[0] is None else bytes(row[0])
        return JobResult(job.result_status or 200, job.result_type or "", job.result_bytes, body, job.result_file)

    def open_file(self, name: str) -> BinaryIO:
        """The file of a request or a result. Raises NotFound if it has been removed meanwhile."""
        try:
            return self._payloads.open(name)
        except FileNotFoundError:
            raise queries.no_such_job(name.partition(".")[0]) from None

    async def turn(self, free: Callable[[str], int], longest: float) -> EngineTurn:
        """End the jobs whose time is over, and begin a run of those that come next, of each model as many as `free`.

        The next turn is due after at most `longest` seconds. What a power cut undoes, the next start does again.
        """

        def work(connection: SqlConnection) -> EngineTurn:
            now = self._clock()
            expired = queries.expire(connection, now)
            runs = queries.claim(connection, free, self._gateway, now)
            time = queries.next_time(connection, now)
            return EngineTurn(runs, expired, longest if time is None else max(0.0, min(longest, time - now)))

        return await self._database.run(work, durable=False)

    async def complete(self, job: Job, result: JobResult) -> bool:
        """End a run's job with a result; False: this run may not. Raises OSError or DatabaseFailed."""
        assert result.body is not None
        name = result_file(job.id, job.run) if result.size > LARGE else None
        if name:
            await asyncio.to_thread(self._payloads.write, name, result.body)
        values = {
            "result_status": result.status,
            "result_type": result.content_type,
            "result_bytes": result.size,
            "result": None if name else result.body,
            "result_file": name,
        }
        ended = await self._end(job, JobState.COMPLETED, values)
        if name and not ended:
            self._payloads.remove([name])
        return ended

    async def fail(self, job: Job, error: ServeError) -> bool:
        """End a run's job with an error; False: this run may not."""
        return await self._end(job, JobState.FAILED, {"error": json.dumps(error.envelope(job.id)["error"])})

    async def run_again(self, job: Job, delay: float, *, counted: bool) -> None:
        """End a run, and queue its job for another one."""
        query = f"""
            UPDATE jobs SET state = 'queued', not_before = ?, failures = failures + ? WHERE {queries.OF_RUN}
        """
        values = (self._clock() + delay, int(counted), job.id, job.run)
        await self._database.run(lambda connection: connection.execute(query, values).rowcount)

    async def cancel(self, owner: str | None, id_: str) -> Job:
        """Cancel a job that has not ended; an ended one stays as it is. Returns the job. Raises NotFound."""

        def work(connection: SqlConnection) -> Job:
            job = queries.get(connection, owner, id_)
            if not job.has_ended:
                which = (f"id = ? AND {queries.UNFINISHED}", (id_,))
                queries.finish(connection, which, JobState.CANCELLED, self._clock())
            return queries.get(connection, owner, id_)

        return await self._database.run(work)

    async def cancel_without(self, admits: Callable[[str], bool]) -> list[str]:
        """Cancel the jobs of owners that are not admitted any more. Returns the ids of those that ran or waited."""
        return await self._database.run(lambda connection: queries.cancel_without(connection, admits, self._clock()))

    async def remove(self, owner: str | None, id_: str) -> None:
        """Remove a job that has ended, with its request and its result. Raises NotFound."""

        def work(connection: SqlConnection) -> list[str]:
            job = queries.get(connection, owner, id_)
            removed = connection.execute(f"DELETE FROM jobs WHERE id = ? AND {queries.OVER}", (id_,)).rowcount
            return [name for name in (request_file(id_), job.result_file) if name] if removed else []

        self._payloads.remove(await self._database.run(work))

    async def prune(self, keep: float, max_bytes: int) -> list[str]:
        """Remove jobs that ended more than `keep` seconds ago, and the oldest while they take over `max_bytes`.

        Returns their ids.
        """
        rows = await self._database.run(lambda connection: queries.prune(connection, self._clock() - keep, max_bytes))
        ids = [id_ for id_, _ in rows]
        self._payloads.remove([*map(request_file, ids), *(file for _, file in rows if file)])
        return ids

    async def claim_webhooks(self, limit: int, seconds: float) -> list[tuple[Job, str]]:
        """Begin an attempt at the webhooks that are due, with their secrets; the next one follows after `seconds`."""
        return await self._database.run(lambda c: queries.claim_webhooks(c, limit, seconds, self._clock()))

    async def webhook_accepted(self, job: Job) -> None:
        """Record that the receiver has accepted a job's webhook."""
        now = self._clock()
        await self._database.run(lambda c: queries.note_webhook(c, job, due=None, sent=now, error=None))

    async def webhook_failed(self, job: Job, problem: str, again: float | None) -> None:
        """Record a failed attempt; the next one follows `again` seconds later. None: there is none."""
        due = None if again is None else self._clock() + again
        await self._database.run(lambda c: queries.note_webhook(c, job, due=due, sent=None, error=problem))

    async def seconds_to_webhook(self, longest: float) -> float:
        """Seconds until the next webhook is due; at most `longest`."""
        query = "SELECT MIN(webhook_due) FROM jobs WHERE webhook_due IS NOT NULL"
        time = await self._database.run(lambda connection: connection.execute(query).fetchone()[0])
        return longest if time is None else max(0.0, min(longest, time - self._clock()))

    async def count(self) -> Mapping[str, int]:
        """How many jobs wait and run, by state."""
        query = f"SELECT state, COUNT(*) FROM jobs WHERE {queries.UNFINISHED} GROUP BY state"
        return dict(await self._database.run(lambda connection: connection.execute(query).fetchall()))

    async def _end(self, job: Job, state: JobState, values: Mapping[str, object]) -> bool:
        run = (queries.OF_RUN, (job.id, job.run))
        ended = await self._database.run(
            lambda connection: queries.finish(connection, run, state, self._clock(), values)
        )
        self._payloads.remove([request_file(job.id)] if ended and job.batch else [])
        return bool(ended)
