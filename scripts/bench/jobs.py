"""How many small jobs a second are stored, run and ended, over HTTP."""

from __future__ import annotations

import statistics
import time

from scripts.bench import wrk
from scripts.bench.measurement import Goal, Result, Setup
from scripts.testbed.server import RunningServer, eventually, fake_model

_TITLE = "Jobs"
_TEXT = """
wrk submits chat requests to a model that answers at once, over 8 connections, while the jobs run. The time ends with
the last job. Jobs are in SQLite, in the system's folder for temporary files, and each submission is on the disk before
it is answered.
"""
_CLIENTS = 8


def measure(setup: Setup) -> Result:
    """Whole jobs a second, from the first submission to the end of the last job."""
    if not wrk.is_installed():
        return Result(_TITLE, _TEXT, [_goal(None, wrk.MISSING)])
    with RunningServer(setup.folder / "jobs", [fake_model("m")], jobs={"max_queued": 1_000_000}) as server:
        _round(server, 1)  # the first one starts the worker and opens the database
        rounds = [_round(server, setup.seconds(4)) for _ in range(setup.rounds(5))]
    rates = [jobs / (submitting + finishing) for jobs, submitting, finishing in rounds]
    rows = [_row(*measured) for measured in rounds]
    return Result(_TITLE, _TEXT, [_goal(statistics.median(rates))], ("jobs", "submitted/s", "jobs/s"), rows)


def _goal(value: float | None, why: str = "") -> Goal:
    return Goal("whole jobs", 200, value, "/s", at_least=True, why=why)


def _row(jobs: int, submitting: float, finishing: float) -> tuple[str, str, str]:
    return f"{jobs:,}", f"{jobs / submitting:.0f}", f"{jobs / (submitting + finishing):.0f}"


def _round(server: RunningServer, seconds: float) -> tuple[int, float, float]:
    """Submit for some seconds: how many jobs, the seconds of the submissions, and those until all jobs have ended."""
    body: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    load = wrk.run(f"{server.url}/jobs/submit/chat", [body], clients=_CLIENTS, seconds=seconds)
    finished = time.perf_counter()
    eventually("all jobs have ended", lambda: not any(server.status()["jobs"].values()))
    return load.requests, load.requests / load.rate, time.perf_counter() - finished
