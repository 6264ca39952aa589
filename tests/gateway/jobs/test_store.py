"""The store of jobs, on a clock of its own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from contract.errors import EngineFailed, IdempotencyConflict, NotFound, QueueFull
from gateway.jobs.job import Job, JobFilter, JobResult, JobState, Run, StoredRequest, Submission
from gateway.jobs.leases import MAX_INTERRUPTIONS
from gateway.jobs.payloads import LARGE
from gateway.jobs.store import JobStore

LARGE_BODY = b"x" * (LARGE + 1)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock, url: str | None) -> AsyncIterator[JobStore]:
    store = JobStore(tmp_path, max_queued=20, clock=clock, url=url)
    await store.open()
    yield store
    await store.close()


def submission(body: bytes = b"{}", **fields: Any) -> Submission:
    request = StoredRequest("/v1/chat/completions", "a=1", [("content-type", "application/json")], body)
    return Submission(**{"owner": "key:a", "type": "chat", "model": "m", "request": request, **fields})


async def add(store: JobStore, **fields: Any) -> Job:
    return (await store.add(submission(**fields))).job


async def runs(store: JobStore, free: Callable[[str], int] = lambda _: 100) -> list[Run]:
    return (await store.turn(free, 30)).runs


async def claim(store: JobStore, room: int = 100) -> list[Job]:
    return [run.job for run in await runs(store, lambda _: room)]


def answer(body: bytes = b'{"a": 1}') -> JobResult:
    return JobResult(200, "application/json", len(body), body)


async def state(store: JobStore, job: Job) -> JobState:
    return (await store.get(job.owner, job.id)).state


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "files").glob("*"))


@pytest.mark.parametrize("body", [b'{"n": 1}', LARGE_BODY], ids=["small", "large"])
async def test_request_and_result_come_back_as_they_were(store: JobStore, tmp_path: Path, body: bytes) -> None:
    await add(store, body=body)
    [run] = await runs(store)
    job = run.job
    assert await store.request_of(run) == submission(body).request
    assert await store.complete(job, answer(body))
    ended = await store.get("key:a", job.id)
    result = await store.result_of(ended)
    if result.file:
        with store.open_file(result.file) as file:
            assert file.read() == body
    else:
        assert result.body == body
    request, file = await store.kept_request(ended)
    assert request.path == submission().request.path
    if file:
        with store.open_file(file) as opened:
            assert opened.read() == body
    else:
        assert request.body == body
    large = [f"{job.id}.1.result", f"{job.id}.request"] if len(body) > LARGE else []
    assert files(tmp_path) == large
    await store.remove("key:a", job.id)
    assert files(tmp_path) == []
    with pytest.raises(NotFound):
        await store.kept_request(ended)


async def test_higher_priority_first_then_in_order(store: JobStore) -> None:
    jobs = [await add(store, priority=priority) for priority in (0, 5, 0, -1, 5)]
    assert await store.place(jobs[0]) == 2
    claimed = [*await claim(store, 3), *await claim(store)]
    assert [job.id for job in claimed] == [jobs[number].id for number in (1, 4, 0, 2, 3)]


async def test_each_model_has_its_own_room(store: JobStore) -> None:
    for model in ("a", "a", "b", "c"):
        await add(store, model=model)
    claimed = await runs(store, lambda model: {"a": 1, "b": 1, "c": 0}[model])
    assert [run.job.model for run in claimed] == ["a", "b"]


async def test_same_key_submits_once(store: JobStore, tmp_path: Path) -> None:
    first = await add(store, idempotency_key="k", digest="d")
    again = await store.add(submission(LARGE_BODY, idempotency_key="k", digest="d"))
    assert (again.job.id, again.is_new) == (first.id, False)
    assert files(tmp_path) == []
    assert (await add(store, owner="key:b", idempotency_key="k", digest="other")).id != first.id
    with pytest.raises(IdempotencyConflict, match=first.id):
        await add(store, idempotency_key="k", digest="other")


async def test_other_owners_find_no_job(store: JobStore) -> None:
    job = await add(store)
    for call in (store.get, store.cancel, store.remove):
        with pytest.raises(NotFound):
            await call("key:b", job.id)
    assert await store.page(JobFilter("key:b")) == []
    assert await state(store, job) is JobState.QUEUED


async def test_lists_pages_newest_first(store: JobStore) -> None:
    jobs = [await add(store, type=type_) for type_ in ("chat", "ocr", "chat")]
    await store.cancel("key:a", jobs[0].id)
    page = JobFilter("key:a", limit=2)
    first = await store.page(page)
    second = await store.page(dataclasses.replace(page, before=first[-1].id))
    assert [job.id for job in (*first, *second)] == [job.id for job in reversed(jobs)]
    cancelled = await store.page(JobFilter("key:a", states=(JobState.CANCELLED,), type="chat"))
    assert [job.id for job in cancelled] == [jobs[0].id]


async def test_cancelled_job_cannot_complete(store: JobStore, tmp_path: Path) -> None:
    await add(store, body=LARGE_BODY)
    [job] = await claim(store)
    assert (await store.cancel("key:a", job.id)).state is JobState.CANCELLED
    assert not await store.complete(job, answer(LARGE_BODY))
    await store.run_again(job, 0, counted=False)
    assert await state(store, job) is JobState.CANCELLED
    assert files(tmp_path) == [f"{job.id}.request"]


async def test_earlier_run_cannot_end_the_job(store: JobStore) -> None:
    await add(store)
    [first] = await claim(store)
    await store.run_again(first, 0, counted=True)
    [second] = await claim(store)
    assert (second.run, second.failures) == (2, 1)
    assert not await store.fail(first, EngineFailed("late"))
    assert await store.complete(second, answer())
    assert not await store.complete(second, answer()), "a job ends once"


async def test_waits_before_it_runs_again(store: JobStore, clock: Clock) -> None:
    await add(store)
    [job] = await claim(store)
    await store.run_again(job, 8, counted=True)
    turn = await store.turn(lambda _: 9, 30)
    assert (turn.runs, turn.seconds) == ([], 8)
    clock.now += 8
    turn = await store.turn(lambda _: 9, 30)
    assert ([run.job.id for run in turn.runs], turn.seconds) == ([job.id], 30)


async def test_restart_queues_what_ran_and_removes_strays(tmp_path: Path, store: JobStore, url: str | None) -> None:
    running, waiting = await add(store, body=LARGE_BODY), await add(store, model="other")
    await runs(store, lambda model: int(model == "m"))
    (tmp_path / "files" / "job_never_accepted.request").write_bytes(b"x")
    os.utime(tmp_path / "files" / "job_never_accepted.request", (0, 0))
    await store.close()
    again = JobStore(tmp_path, 20, url=url)
    await again.open()
    assert files(tmp_path) == [f"{running.id}.request"]
    assert {job.id: job.run for job in await claim(again)} == {running.id: 2, waiting.id: 1}
    await again.close()


async def test_job_that_gateways_end_with_fails(tmp_path: Path, url: str | None) -> None:
    for start in range(MAX_INTERRUPTIONS + 1):
        store = JobStore(tmp_path, 20, url=url)
        await store.open()
        if not start:
            job = await add(store)
        await claim(store)
        if start == MAX_INTERRUPTIONS:
            ended = await store.get("key:a", job.id)
            assert (ended.state, ended.run) == (JobState.FAILED, MAX_INTERRUPTIONS)
            assert ended.error
        await store.close()


async def test_expires_waiting_and_running_jobs(store: JobStore, clock: Clock) -> None:
    running = await add(store, expires=1005.0)
    await claim(store)
    waiting, later = await add(store, expires=1005.0), await add(store, expires=1006.0)
    turn = await store.turn(lambda _: 0, 30)
    assert (turn.expired, turn.seconds) == ([], 5)
    clock.now = 1005
    assert set((await store.turn(lambda _: 0, 30)).expired) == {running.id, waiting.id}
    assert await state(store, waiting) is JobState.EXPIRED
    assert await state(store, later) is JobState.QUEUED


async def test_ended_jobs_are_removed_after_their_time(store: JobStore, clock: Clock, tmp_path: Path) -> None:
    old, waiting = await add(store, priority=1, body=LARGE_BODY), await add(store)
    [job] = await claim(store, 1)
    await store.complete(job, answer(LARGE_BODY))
    clock.now += 61
    assert await store.prune(60, 10**9) == [old.id]
    assert files(tmp_path) == []
    assert [job.id for job in await store.page(JobFilter("key:a"))] == [waiting.id]


async def test_oldest_results_make_room_for_new_ones(store: JobStore, clock: Clock) -> None:
    jobs = [await add(store) for _ in range(4)]
    for job in await claim(store):
        clock.now += 1
        await store.complete(job, answer(b"x" * 100))
    assert await store.prune(10**6, 250) == [jobs[0].id, jobs[1].id]


async def test_requests_of_ended_jobs_count_among_results(store: JobStore, clock: Clock) -> None:
    jobs = [await add(store, body=b"x" * 100) for _ in range(5)]
    for job in jobs[:4]:
        clock.now += 1
        await store.cancel("key:a", job.id)
    assert await store.prune(10**6, 250) == [jobs[0].id, jobs[1].id]


async def test_batch_keeps_no_requests_of_ended_jobs(store: JobStore, tmp_path: Path) -> None:
    for line, body in enumerate((b"small", LARGE_BODY)):
        await add(store, batch="b", line=line, body=body)
    for run in await runs(store):
        await store.complete(run.job, answer())
        ended = await store.get("key:a", run.job.id)
        assert not ended.keeps_request
        assert (await store.kept_request(ended))[0].body == b""
    assert files(tmp_path) == []


async def test_refuses_jobs_beyond_the_limit(store: JobStore, tmp_path: Path) -> None:
    jobs = [await add(store) for _ in range(20)]
    with pytest.raises(QueueFull, match=r"jobs\.max_queued"):
        await add(store, body=LARGE_BODY)
    assert files(tmp_path) == []
    await store.cancel("key:a", jobs[0].id)
    await add(store)
    with pytest.raises(QueueFull):
        await add(store)


async def test_says_how_many_come_first(store: JobStore) -> None:
    ahead = [(await store.add(submission(model=model))).ahead for model in ("m", "m", "other", "m")]
    assert ahead == [0, 1, 0, 2]
    assert (await store.add(submission(priority=1))).ahead == 0


async def test_a_turn_reads_no_more_when_many_jobs_wait(tmp_path: Path) -> None:
    store = JobStore(tmp_path, max_queued=10_000)
    await store.open()
    few = await _steps_of_a_turn(store)
    for _ in range(400):
        await add(store, expires=1e12)
    assert await _steps_of_a_turn(store) < 2 * few
    await store.close()


async def _steps_of_a_turn(store: JobStore) -> int:
    """Tens of SQLite's own steps in a turn that begins one of at least two jobs, and in a submission."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    for _ in range(2):
        await add(store, expires=1e12)
    await store.run(lambda connection, _: cast(Any, connection)._connection.set_progress_handler(count, 10))
    assert len(await runs(store, lambda _: 1)) == 1
    await add(store, priority=100)
    return steps
