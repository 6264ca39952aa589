"""Clients that submit jobs to a server whose programs are killed at random, and note what they saw."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2

from scripts.testbed.http import local_client
from scripts.testbed.server import RunningServer

BURST = 5
"""Jobs that a client submits before it waits for their ends."""
LARGE = 300_000
"""Characters of some jobs' texts: their requests and results are files, not rows."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a client saw a job end."""

    text: str
    status: str
    at: str


@dataclass(slots=True)
class JobClients:
    """Clients of `server`. `keys` are those of all submissions, `ended` the ends that they saw, by the jobs' ids.

    `removed` are the ids of jobs that had ended when they were to be cancelled, which removed them.
    """

    server: RunningServer
    seed: int
    keys: set[str] = field(default_factory=set)
    ended: dict[str, Ended] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        """Submit jobs during the block; at its end, wait until those that were submitted have ended."""
        with ThreadPoolExecutor(count) as pool:
            futures: list[Future[None]] = [pool.submit(self._client, number) for number in range(count)]
            try:
                yield
            finally:
                self._over.set()
        for future in futures:
            future.result()

    def _client(self, number: int) -> None:
        dice = random.Random(self.seed + number)
        with local_client(timeout=60) as http:
            turn = 0
            while not self._over.is_set():
                names = [f"client {number} turn {turn} job {job}" for job in range(BURST)]
                jobs = {self._submit(http, name, dice): name for name in names}
                for id_, name in jobs.items():
                    self._see_end(http, id_, name, cancels=dice.random() < 0.1)
                turn += 1

    def _submit(self, http: httpx2.Client, name: str, dice: random.Random) -> str:
        """Submit a job until it is accepted; its id."""
        text = name if dice.random() < 0.9 else f"{name} ".ljust(LARGE, "x")
        body = {"model": "speaker", "messages": [{"role": "user", "content": text}]}
        with self._lock:
            self.keys.add(name)
        answer = self._until(
            {200, 202},
            lambda url: http.post(f"{url}/jobs/submit/chat", json=body, headers={"idempotency-key": name}),
        )
        id_: str = answer["job_id"]
        return id_

    def _see_end(self, http: httpx2.Client, id_: str, name: str, *, cancels: bool) -> None:
        url, wanted = f"/jobs/{id_}", {200}
        job = self._until(wanted, lambda server: http.get(server + url))
        if cancels and job["status"] in {"queued", "running"}:
            wanted = {200, 404}  # if it has ended meanwhile, it is removed
            with suppress(OSError, httpx2.TransportError):
                http.delete(self.server.url + url)
        while job["status"] in {"queued", "running"}:
            time.sleep(0.2)
            job = self._until(wanted, lambda server: http.get(server + url))
            if "status" not in job:
                with self._lock:
                    self.removed.add(id_)
                return
        assert job["status"] in {"completed", "cancelled"}, job
        if job["status"] == "completed":
            text = job["result"]["choices"][0]["message"]["content"].rstrip("x").strip()
            assert text == name, f"{id_} was answered {text[:100]!r} instead of {name!r}"
        with self._lock:
            self.ended[id_] = Ended(name, job["status"], job["completed_at"])

    def _until(self, wanted: set[int], ask: Callable[[str], httpx2.Response]) -> dict[str, Any]:
        """Ask until the server answers with a status that is `wanted`, while it is down or refuses for a time."""
        while True:
            try:
                answer = ask(self.server.url)
            except (OSError, httpx2.TransportError):  # a gateway that was killed, or has no address yet
                time.sleep(0.05)
                continue
            if answer.status_code in wanted:
                document: dict[str, Any] = answer.json()
                return document
            assert answer.status_code == 503, f"{answer.status_code}: {answer.text[:1000]}"
            time.sleep(0.05)


def all_jobs(server: RunningServer) -> Iterator[dict[str, Any]]:
    """Every job in the server's list, page by page."""
    path = "/jobs?limit=1000"
    while path:
        page = server.get(path).json()
        yield from page["jobs"]
        path = f"/jobs?limit=1000&before={page['next']}" if page["next"] else ""
