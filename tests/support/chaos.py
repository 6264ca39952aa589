"""Mixed load on a server whose programs are killed at random, and checks that every answer is right."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
import psutil
import pytest

from scripts.testbed.http import local_client
from scripts.testbed.server import RunningServer, eventually

TEXTS = tuple(f"number {number} of the storm" for number in range(8))

VICTIMS = ("gateway", "manager", "worker", "worker", "worker", "worker")

PATIENCE = 90.0
"""Seconds without a byte after which a request counts as hung: far more than `max_wait` and `hang_timeout`."""

REFUSALS = frozenset({"manager_unreachable", "worker_died", "request_killed_workers", "deadline_passed", "evicted",
                      "model_load_failed", "queue_full", "shutting_down", "unavailable"})  # fmt: skip
"""Codes of errors that a killed program may cause."""


class Unanswered(Exception):
    """The request ended without an answer, as it may while programs are killed."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request: its path, its body for a text, and what identifies the answer to a text."""

    path: str
    body: Callable[[str], dict[str, Any]]
    identity: Callable[[Any], Any]
    streams: bool = False

    def ask(self, http: httpx2.Client, url: str, text: str) -> Any:
        """The answer's identity. Raises Unanswered, and AssertionError for an answer that must not be."""
        try:
            if self.streams:
                return self._stream(http, url, text)
            answer = http.post(url + self.path, json=self.body(text))
        except httpx2.TimeoutException as error:
            raise AssertionError(f"a request to {self.path} hangs") from error
        except httpx2.TransportError as error:
            raise Unanswered(type(error).__name__) from error
        check_error(answer.status_code, answer)
        return self.identity(answer.json())

    def _stream(self, http: httpx2.Client, url: str, text: str) -> str:
        """The text of a stream. One that breaks off ends with an error event, or its connection breaks."""
        written = ""
        with http.stream("POST", url + self.path, json=self.body(text)) as answer:
            if answer.status_code != 200:
                answer.read()
            check_error(answer.status_code, answer)
            for line in answer.iter_lines():
                if line == "data: [DONE]":
                    return written
                if line.startswith("data: "):
                    event = json.loads(line[6:])
                    check_error(500 if "error" in event else 200, event)
                    written += self.identity(event)
                    assert text.startswith(written), f"{written!r} is no part of the answer to {text!r}"
        raise AssertionError("a stream ended without [DONE] and without an error")


def check_error(status: int, answer: Any) -> None:
    """Raise Unanswered for an error that a killed program may cause; AssertionError for any other."""
    if status != 200:
        error = (answer if isinstance(answer, dict) else answer.json())["error"]
        assert error["code"] in REFUSALS, error
        raise Unanswered(error["code"])


def chat(model: str, *, stream: bool = False, **fields: Any) -> Kind:
    """Chat with a model whose answer to a text is always the same."""

    def body(text: str) -> dict[str, Any]:
        return {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream, **fields}

    def written(event: Any) -> str:
        return "".join(choice["delta"].get("content") or "" for choice in event["choices"])

    def whole(answer: Any) -> Any:
        return answer["choices"][0]["message"]["content"]

    return Kind("/v1/chat/completions", body, written if stream else whole, streams=stream)


def embedding(model: str) -> Kind:
    """An embedding."""
    return Kind(
        "/v1/embeddings",
        lambda text: {"model": model, "input": text},
        lambda answer: answer["data"][0]["embedding"],
    )


def drawing(model: str) -> Kind:
    """An image whose colour depends on its prompt."""
    return Kind(
        "/v1/images/generations",
        lambda text: {"model": model, "prompt": text, "size": "16x16", "seed": 1},
        lambda answer: answer["data"][0]["b64_json"],
    )


def passthrough(model: str) -> Kind:
    """A path of an external server that reports what it gets."""
    return Kind(
        "/v1/completions", lambda text: {"model": model, "prompt": text}, lambda answer: answer["got"]["prompt"]
    )


@dataclass(slots=True)
class Load:
    """Clients that send requests of all kinds, one after another, and compare the answers with those in `right`."""

    server: RunningServer
    kinds: dict[str, Kind]
    seed: int
    right: dict[tuple[str, str], Any] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: bool = False

    @property
    def answered(self) -> int:
        """How many requests were answered, rightly."""
        return sum(count for (_, outcome), count in list(self.outcomes.items()) if outcome == "answered")

    def learn(self) -> None:
        """Ask everything once, in peace. On a busy machine, the first start of a model may take several attempts."""
        with client() as http:
            for name, kind in self.kinds.items():
                eventually(f"{name} is answered", lambda name=name: self._answers(http, name), 4 * PATIENCE)
                for text in TEXTS:
                    answer = kind.ask(http, self.server.url, text)
                    # Vectors differ a little with what else is in the batch.
                    self.right[name, text] = pytest.approx(answer, abs=1e-3) if isinstance(answer, list) else answer

    def _answers(self, http: httpx2.Client, name: str) -> bool:
        with suppress(Unanswered):
            self.kinds[name].ask(http, self.server.url, TEXTS[0])
            return True
        return False

    @contextmanager
    def clients(self, count: int) -> Iterator[None]:
        """Run clients until the end of the block. Raises what any of them has found."""
        done = threading.Event()
        with ThreadPoolExecutor(count) as threads:
            clients: list[Future[None]] = [threads.submit(self._client, number, done) for number in range(count)]
            try:
                yield
            finally:
                done.set()
        for client in clients:
            client.result()

    def _client(self, number: int, done: threading.Event) -> None:
        generator = random.Random(f"{self.seed} {number}")
        with client() as http:
            while not done.is_set():
                name, text = generator.choice(list(self.kinds)), generator.choice(TEXTS)
                try:
                    self.outcomes[name, self.ask(http, name, text)] += 1
                except BaseException:
                    self.failed = True
                    raise

    def works(self, name: str) -> bool:
        """Whether requests of a kind are answered now."""
        with client() as http:
            return self.ask(http, name, TEXTS[0]) == "answered"

    def ask(self, http: httpx2.Client, name: str, text: str) -> str:
        """Send one request. Returns how it ended."""
        try:
            url = self.server.url
        except OSError:  # the gateway starts
            time.sleep(0.05)
            return "no gateway"
        try:
            answer = self.kinds[name].ask(http, url, text)
        except Unanswered as error:
            time.sleep(0.2)
            return str(error)
        assert answer == self.right[name, text], f"{name} answered {text!r} with {answer!r}"
        return "answered"


def client() -> httpx2.Client:
    """An HTTP client that waits as long as a request may take."""
    return local_client(timeout=PATIENCE)


def storm(load: Load, *, least: int, seconds: float, longest_pause: float) -> Counter[str]:
    """Kill gateway, manager and workers at random for some time, and at least so often; start the programs again.

    Some workers are only stopped (SIGSTOP). Most blows hit a server that works again. Counts them.
    """
    generator = random.Random(load.seed)
    victims, blows = ["gateway", "manager", "worker"], Counter[str]()
    deadline = time.monotonic() + seconds
    while blows.total() < least or time.monotonic() < deadline:
        if generator.random() < 0.7:
            answered = load.answered
            eventually("requests are answered", lambda answered=answered: load.answered > answered + 5 or load.failed)
        blows[_strike(load.server, victims.pop() if victims else generator.choice(VICTIMS), generator)] += 1
        time.sleep(generator.uniform(0, longest_pause))
    return blows


def _strike(server: RunningServer, victim: str, generator: random.Random) -> str:
    """Kill one process. Returns what was done."""
    if victim != "worker":
        server.stop(victim, signal.SIGKILL)
        server.start(victim)
        return victim
    number = generator.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
    children = eventually("a worker runs", lambda: workers(server))
    with suppress(ProcessLookupError):
        os.kill(generator.choice(children), number)
    return f"worker {number.name}"


def workers(server: RunningServer) -> list[int]:
    """The pids below the manager that run a program of their own: a start waits for a process that is still a copy."""
    manager = psutil.Process(server.processes["manager"].pid)
    return [process.pid for process in manager.children(recursive=True) if _command(process) != manager.cmdline()]


def _command(process: psutil.Process) -> list[str] | None:
    try:
        return process.cmdline()
    except psutil.Error:
        return None
