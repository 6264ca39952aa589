"""Programs are killed at random moments while clients submit, cancel and wait for jobs: none is lost or doubled.

First the engine of jobs, in a process of its own that starts in milliseconds, then the programs of a running server, a
tenth as often. JOB_KILLS says how often; the seed is printed, and JOB_KILLS_SEED repeats it.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from gateway.jobs.engine import JobEngine
from gateway.jobs.job import JobFilter, JobState
from scripts.testbed.server import RunningServer, eventually, fake_model
from tests.support import job_engine_process
from tests.support.job_storm import Ended, JobClients, all_jobs

KILLS = int(os.environ.get("JOB_KILLS") or 100)
SERVER_KILLS = max(1, KILLS // 10)
VICTIMS = ("gateway",) * 8 + ("manager", "worker")

pytestmark = pytest.mark.e2e


@dataclass(slots=True)
class Seen:
    """What processes with an engine reported before they were killed."""

    submitted: set[str] = field(default_factory=set)
    accepted: dict[str, str] = field(default_factory=dict)
    ended: dict[str, tuple[str, float]] = field(default_factory=dict)
    may_be_removed: set[str] = field(default_factory=set)

    def note(self, what: str, name: str, more: Any) -> None:
        if what == "submits":
            self.submitted.add(name)
        elif what == "accepted":
            id_ = self.accepted.setdefault(name, more)
            assert more == id_ or id_ in self.may_be_removed, f"{name} was submitted twice: {id_} and {more}"
            self.accepted[name] = more
        elif what == "ended":
            assert self.ended.setdefault(name, more) == more, f"{name} ended twice: {self.ended[name]} and {more}"
        else:
            self.may_be_removed.add(name)

    def first_open(self) -> int:
        """The lowest key whose submission was not accepted."""
        return next(number for number in itertools.count() if str(number) not in self.accepted)


def until_killed(context: ForkServerContext, folder: Path, seen: Seen, dice: random.Random) -> None:
    """Start a process with an engine, and kill it at a random moment."""
    reports, sender = context.Pipe(duplex=False)
    arguments = (folder, seen.first_open(), dice.randrange(10**6), sender)
    process = context.Process(target=job_engine_process.run, args=arguments)
    process.start()
    sender.close()
    if dice.random() < 0.9:  # the others are killed while they start
        seen.note(*reports.recv())
    end = time.monotonic() + dice.expovariate(1 / 0.15)
    while time.monotonic() < end:
        if reports.poll(max(0.0, end - time.monotonic())):
            seen.note(*reports.recv())
    process.kill()
    with suppress(EOFError, OSError):  # the last report may be cut
        while True:
            seen.note(*reports.recv())
    process.join()


async def check_all(folder: Path, seen: Seen) -> Counter[str]:
    """Let all jobs end, and compare them with what was seen. How many ended in which state."""
    jobs = job_engine_process.engine(folder)
    async with jobs.opened():
        await asyncio.gather(*(submit_again(jobs, key, seen) for key in seen.submitted))
        while any((await jobs.counts()).values()):  # noqa: ASYNC110 - the engine has no event for it
            await asyncio.sleep(0.05)
        found = {job.id: job for job in await jobs.page(JobFilter(None, limit=10**6))}
        assert set(found) == set(seen.accepted.values()), "each submission is one job, however often it was repeated"
        for id_, (state, ended) in seen.ended.items():
            assert id_ in seen.may_be_removed or (found[id_].state, found[id_].ended) == (state, ended)
        store = await jobs.store()
        for key, id_ in seen.accepted.items():
            if found[id_].state == JobState.COMPLETED:
                result = await store.result_of(found[id_])
                body = store.payloads.read(result.file) if result.file else result.body
                assert body == job_engine_process.body_of(key)
    files = {job.result_file for job in found.values() if job.result_file}
    assert {path.name for path in (folder / "files").iterdir()} == files, "no file is left over"
    return Counter(job.state for job in found.values())


async def submit_again(jobs: JobEngine, key: str, seen: Seen) -> None:
    accepted = await jobs.submit(job_engine_process.submission(key))
    seen.note("accepted", key, accepted.job.id)


@pytest.mark.timeout(120 + 5 * KILLS)
async def test_killed_engine_loses_and_doubles_no_job(tmp_path: Path) -> None:
    seed = int(os.environ.get("JOB_KILLS_SEED") or random.randrange(10**6))
    print(f"JOB_KILLS_SEED={seed}")
    dice, seen = random.Random(seed), Seen()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([job_engine_process.__name__])
    for _ in range(KILLS):
        until_killed(context, tmp_path, seen, dice)
    states = await check_all(tmp_path, seen)
    print(f"{KILLS} kills, {len(seen.submitted)} jobs: {dict(states)}")
    assert states.keys() <= {JobState.COMPLETED, JobState.CANCELLED}
    assert states[JobState.COMPLETED] > KILLS


def kill(server: RunningServer, victim: str, dice: random.Random) -> None:
    """Kill a program at a random moment, which may be in the middle of its start, and start it again."""
    if victim == "worker":
        for worker in server.workers("speaker"):
            with suppress(ProcessLookupError):
                os.kill(worker["pid"], signal.SIGKILL)
        return
    server.stop(victim, signal.SIGKILL)
    if dice.random() < 0.3:
        server.launch(victim)
        time.sleep(dice.uniform(0, 1.5))
        server.stop(victim, signal.SIGKILL)
    server.start(victim)
    eventually("the server is ready", lambda: server.get("/ready").status_code == 200)


@pytest.mark.timeout(120 + 30 * SERVER_KILLS)
def test_random_kills_lose_and_double_no_job(tmp_path: Path) -> None:
    seed = int(os.environ.get("JOB_KILLS_SEED") or random.randrange(10**6))
    print(f"JOB_KILLS_SEED={seed}")
    dice, victims = random.Random(seed), Counter[str]()
    jobs = {"max_running": 4, "attempts": 20}
    with RunningServer(tmp_path, [fake_model("speaker", step_seconds=0.02)], jobs=jobs) as server:
        clients = JobClients(server, seed)
        with clients.running(4):
            victim = ""
            while victims.total() < SERVER_KILLS:
                time.sleep(dice.uniform(0, 1.0))
                # A worker that dies again and again with the same requests would rightly count as killed by them.
                victim = "gateway" if victim == "worker" else dice.choice(VICTIMS)
                kill(server, victim, dice)
                victims[victim] += 1
        listed = {job["job_id"]: job for job in all_jobs(server)}
        ends = Counter(end.status for end in clients.ended.values())
        print(f"{dict(victims)} killed, {len(listed)} jobs: {dict(ends)}")
        assert len(listed) + len(clients.removed) == len(clients.keys), (
            "each submission is one job, however often it was repeated"
        )
        assert listed.keys() == clients.ended.keys(), "each of the others was seen to its end"
        for id_, end in clients.ended.items():
            job = listed[id_]
            assert Ended(end.text, job["status"], job["completed_at"]) == end, "a job that has ended stays as it was"
        assert ends["completed"] > SERVER_KILLS
