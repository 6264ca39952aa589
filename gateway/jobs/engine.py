"""The engine of jobs: takes submissions, hands queued jobs to the manager, and records how their runs end.

It is asleep until the first job: no database is open, and no thread runs. A start of the gateway that finds a database
goes on with the jobs in it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from contract.addresses import Allowed
from contract.config import JobSettings
from contract.errors import ServeError, Unavailable
from gateway.jobs import metrics
from gateway.jobs.batches import Batches, JobControl, ModelChooser
from gateway.jobs.execution import Executor
from gateway.jobs.files import FileStore
from gateway.jobs.job import Accepted, Job, JobFilter, JobState, Run, Submission
from gateway.jobs.leases import BEAT
from gateway.jobs.queries import no_such_job
from gateway.jobs.store import JobStore
from gateway.jobs.verdict import judge
from gateway.jobs.webhooks import Webhooks
from gateway.storage.database import DatabaseFailed
from gateway.storage.storing import storing

log = logging.getLogger(__name__)

_PRUNE_INTERVAL = 30.0
_SHARED_INTERVAL = 1.0
"""Seconds after which jobs that other gateways have stored are noticed."""
_AFTER_TROUBLE = 5.0
"""Seconds after which the engine tries again when the database does not work."""


class JobEngine:
    """Runs the jobs of one gateway. `running` is the work on each job, by its id."""

    def __init__(
        self, folder: Path, settings: JobSettings, executor: Executor, admits: Callable[[str], bool], allowed: Allowed
    ) -> None:
        """`admits`: whether the jobs of an owner may still run. `allowed`: which addresses webhooks may call."""
        self._admits = admits
        self._folder = folder
        self._settings = settings
        self._executor = executor
        self._store = JobStore(folder, settings.max_queued, url=settings.database)
        self.files = FileStore(self._store, settings.max_files_gb * 2**30)
        self._batches: Batches | None = None
        self._webhooks = Webhooks(self._store, allowed, settings.webhook_secret, time.time)
        self._open = False
        self._opening = asyncio.Lock()
        self._wake = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._closing = False
        self._running: dict[str, asyncio.Task[None]] = {}
        self._of_model: Counter[str] = Counter()  # jobs that run, by model
        self._paused_until: dict[str, float] = {}  # by model: while the manager cannot serve it, no other job tries
        self._pruned_at = self._beat_at = float("-inf")

    def batches(self, endpoints: Mapping[str, ModelChooser], longest: int) -> Batches:
        """The batches, whose requests go to `endpoints`; `longest` is the size of a line in bytes. Called once."""
        limits = (longest, self._settings.max_batch_lines)
        control = JobControl(self._admits, self._stop, self._wake.set)
        self._batches = Batches(self._store, self.files, endpoints, limits, control)
        return self._batches

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Go on with the jobs of an earlier start, if there are any; at the end, queue again what runs."""
        if self.exists:
            try:
                await self.store()
            except Unavailable as error:
                log.error("%s", error.message)
                self._loops.append(asyncio.create_task(self._open_later()))
        try:
            yield
        finally:
            await self._close()

    async def _open_later(self) -> None:
        while not self._open:
            await asyncio.sleep(_AFTER_TROUBLE)
            with suppress(Unavailable):
                await self.store()

    @property
    def exists(self) -> bool:
        """Whether there may be jobs. Only a submission creates the database of a single gateway."""
        return self._open or self._store.shared or (self._folder / "jobs.db").exists()

    async def store(self) -> JobStore:
        """The store of all jobs, open. Raises Unavailable if the state folder cannot hold it."""
        async with self._opening:
            if not self._open:
                with storing("Jobs"):
                    await self._store.open()
                self._open = True
                loops = [self._run(), self._webhooks.run(), *([self._batches.run()] if self._batches else [])]
                self._loops += [asyncio.create_task(loop) for loop in loops]
        return self._store

    async def submit(self, submission: Submission) -> Accepted:
        """Store a job, which runs from now on.

        Raises Unavailable if it cannot be stored, InvalidField for its webhook, IdempotencyConflict or QueueFull.
        """
        submission = self._webhooks.checked(submission)
        store = await self.store()
        with storing("Jobs"):
            accepted = await store.add(submission)
        # Where as many jobs of its model run as may, the end of one of them wakes the engine.
        if submission.expires or self._of_model[submission.model] < self._settings.max_running:
            self._wake.set()
        return accepted

    async def get(self, owner: str | None, id_: str) -> Job:
        """The owner's job; None: that of any owner. Raises NotFound, also for the job of another owner."""
        if not self.exists:
            raise no_such_job(id_)
        store = await self.store()
        with storing("Jobs"):
            return await store.get(owner, id_)

    async def page(self, wanted: JobFilter) -> list[Job]:
        """Jobs, newest first. Raises NotFound if `before` is no job of the owner's."""
        if not self.exists:
            return []
        store = await self.store()
        with storing("Jobs"):
            return await store.page(wanted)

    async def counts(self) -> dict[str, int]:
        """How many jobs wait and run. Raises Unavailable."""
        found: Mapping[str, int] = {}
        if self.exists:
            store = await self.store()
            with storing("Jobs"):
                found = await store.count()
        return {state: found.get(state, 0) for state in (JobState.QUEUED, JobState.RUNNING)}

    async def delete(self, owner: str | None, id_: str) -> tuple[Job, bool]:
        """Cancel a job that has not ended; remove one that has. Returns it, and whether it is removed.

        Raises NotFound.
        """
        job, store = await self.get(owner, id_), await self.store()
        with storing("Jobs"):
            if job.has_ended:
                await store.remove(owner, id_)
                return job, True
            job = await store.cancel(owner, id_)
        metrics.ended(job.state)
        self._stop(id_)
        self._webhooks.wake()
        return job, False

    def _stop(self, id_: str) -> None:
        """End the work on a job whose state says already that it has ended."""
        if task := self._running.get(id_):
            task.cancel()

    async def _close(self) -> None:
        self._closing = True
        tasks = [*self._loops, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._open:
            await self._store.close()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                delay = await self._step()
            except Exception:
                log.exception("the jobs cannot be read")
                delay = _AFTER_TROUBLE
            with suppress(TimeoutError):  # wait_for would swallow a cancellation that comes with the event
                async with asyncio.timeout(delay):
                    await self._wake.wait()

    async def _step(self) -> float:
        """Begin what may run now, and end what is over. Returns the seconds until the next step."""
        now = asyncio.get_running_loop().time()
        if self._store.shared and now >= self._beat_at + BEAT:
            self._beat_at = now
            await self._beat()
        if now >= self._pruned_at + _PRUNE_INTERVAL:
            self._pruned_at = now
            await self._cancel_revoked()
            for id_ in await self._store.prune(self._settings.keep, int(self._settings.max_result_gb * 2**30)):
                log.info("removed the job %s and its result", id_)
        longest = _SHARED_INTERVAL if self._store.shared else _PRUNE_INTERVAL
        turn = await self._store.turn(lambda model: self._room(model, now), longest)
        for id_ in turn.expired:
            metrics.ended(JobState.EXPIRED)
            self._stop(id_)
            self._webhooks.wake()
        if not all(self._admits(run.job.owner) for run in turn.runs):
            await self._cancel_revoked()
        for run in turn.runs:
            if self._admits(run.job.owner):
                self._begin(run)
        return turn.seconds

    async def _beat(self) -> None:
        """Show that this gateway lives, and end the work on jobs that others have cancelled or taken over."""
        running = set(self._running)
        for id_ in running - await self._store.beat():
            self._stop(id_)

    async def _cancel_revoked(self) -> None:
        for id_ in await self._store.cancel_without(self._admits):
            log.warning("%s is cancelled: the key that submitted it has been revoked", id_)
            metrics.ended(JobState.CANCELLED)
            self._stop(id_)
            self._webhooks.wake()

    def _room(self, model: str, now: float) -> int:
        """How many more jobs of a model may run. Called in the database's thread."""
        return 0 if self._paused_until.get(model, now) > now else self._settings.max_running - self._of_model[model]

    def _begin(self, run: Run) -> None:
        job = run.job
        metrics.began(job)
        self._of_model[job.model] += 1
        task = self._running[job.id] = asyncio.create_task(self._work(run))
        task.add_done_callback(lambda task: self._done(job, task))

    def _done(self, job: Job, task: asyncio.Task[None]) -> None:
        self._of_model[job.model] -= 1
        if self._running[job.id] is task:  # it may run again already
            del self._running[job.id]
        self._wake.set()
        if job.webhook:
            self._webhooks.wake()
        if job.batch and self._batches:
            self._batches.wake()

    async def _work(self, run: Run) -> None:
        """One run of a job, until what follows from it is stored."""
        job = run.job
        try:
            await self._attempt(run)
        except asyncio.CancelledError:
            if self._closing:  # it was not cancelled by its owner: the next start runs it again
                await self._store.run_again(job, 0.0, counted=False)
            raise
        except (DatabaseFailed, OSError) as error:  # such as a full disk
            log.error("%s runs again as soon as its end can be stored: %s", job.id, error)
            await self._run_again_when_possible(job)
        except Exception:
            log.exception("the end of %s cannot be stored", job.id)
            await self._run_again_when_possible(job)

    async def _attempt(self, run: Run) -> None:
        job = run.job
        error: ServeError | None = None
        try:
            result = await self._executor.run(job, await self._store.request_of(run))
        except ServeError as failure:
            error = failure
        verdict = judge(error, job.failures, self._settings.attempts)
        if error is None:
            self._note_end(JobState.COMPLETED, job, await self._store.complete(job, result))
        elif verdict.kind == "again":
            log.info("%s runs again in %g s: %s", job.id, verdict.delay, error.message)
            self._paused_until[job.model] = asyncio.get_running_loop().time() + verdict.delay
            await self._store.run_again(job, verdict.delay, counted=verdict.counted)
        else:
            log.warning("%s failed: %s", job.id, error.message)
            self._note_end(JobState.FAILED, job, await self._store.fail(job, error))

    def _note_end(self, state: JobState, job: Job, has_ended: bool) -> None:
        if has_ended:  # and was not cancelled before
            metrics.ended(state, job, time.time())

    async def _run_again_when_possible(self, job: Job) -> None:
        while True:
            await asyncio.sleep(_AFTER_TROUBLE)
            with suppress(Exception):
                await self._store.run_again(job, 0.0, counted=True)
                return
