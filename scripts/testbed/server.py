"""Starts a real house for a test: manager and gateway as processes, on free ports, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml
from openai import OpenAI

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds that a test waits for what must happen. It is never slept through."""


def eventually(what: str, happens: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Poll until `happens` returns something true, and return that; fail the test if it never does."""
    deadline = time.monotonic() + patience
    while not (result := happens()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)
    return result


class House:
    """A running house. `models` are entries of config.yaml; other sections are given by name."""

    def __init__(self, folder: Path, models: list[dict[str, Any]], **sections: Any) -> None:
        self.folder = folder
        self.home = folder / "data"
        self.config = folder / "config.yaml"
        self.environ: dict[str, str] = {"ENGINEHOUSE_CONFIG": str(self.config), "ENGINEHOUSE_HOME": str(self.home)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.write(models, **sections)

    def write(self, models: list[dict[str, Any]], **sections: Any) -> None:
        """Write the configuration, with ports left to the system and no standbys unless asked for."""
        settings: dict[str, Any] = {
            "gateway": {"host": "127.0.0.1", "port": 0, **sections.pop("gateway", {})},
            "manager": {"port": 0, "standby": 0, **sections.pop("manager", {})},
            "memory": {"safety_margin_gb": 0.5, **sections.pop("memory", {})},
            **sections,
            "models": models,
        }
        self.config.write_text(yaml.safe_dump(settings, sort_keys=False))

    def __enter__(self) -> House:
        self.start("manager")
        self.start("gateway")
        eventually("the house is ready", lambda: self.get("/ready").status_code == 200)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error:
            sys.stderr.write(self.log("manager")[-6000:] + self.log("gateway")[-3000:])
        for name in list(self.processes):
            self.stop(name)

    def start(self, name: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start `manager` or `gateway` and wait until it listens."""
        address = self.home / name / "address"
        address.unlink(missing_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", name],
                cwd=ROOT,
                env={**os.environ, **self.environ, **(environ or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        eventually(f"the {name} listens", lambda: address.exists() or process.poll() is not None)
        assert process.poll() is None, self.log(name)
        return process

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """End a program and return its exit code."""
        process = self.processes.pop(name)
        if process.poll() is None:
            process.send_signal(number)
        return process.wait(30)

    @property
    def url(self) -> str:
        return (self.home / "gateway" / "address").read_text().strip()

    @property
    def client(self) -> OpenAI:
        """The official SDK, unmodified but for its base URL, and without its own retries."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=PATIENCE)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return httpx2.get(self.url + path, timeout=PATIENCE, trust_env=False, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> httpx2.Response:
        return httpx2.post(self.url + path, json=json, timeout=PATIENCE, trust_env=False, **options)

    def chat(self, model: str, text: str = "hello", **fields: Any) -> httpx2.Response:
        """One whole chat answer."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.post("/v1/chat/completions", body)

    def status(self) -> dict[str, Any]:
        result: dict[str, Any] = self.get("/v1/system/status").json()
        return result

    def workers(self, model: str | None = None) -> list[dict[str, Any]]:
        return [worker for worker in self.status()["workers"] if model in {None, worker["model"]}]

    def log(self, name: str) -> str:
        """What a program has written so far."""
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def carriers(self) -> list[psutil.Process]:
        """Every living process that this house's manager has caused, however far it has gone."""
        mark = f"ENGINEHOUSE_HOME={self.home}".encode()
        own = {process.pid for process in self.processes.values()}
        return [p for p in psutil.process_iter() if p.pid not in own and mark in _environ(p.pid) and lives(p)]

    @contextmanager
    def watching(self) -> Iterator[Iterator[dict[str, Any]]]:
        """The event stream, from now on."""
        with httpx2.stream("GET", f"{self.url}/v1/system/events", timeout=PATIENCE, trust_env=False) as response:
            lines = response.iter_lines()
            next(lines)
            yield (json.loads(line[6:]) for line in lines if line.startswith("data: "))


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def lives(process: psutil.Process) -> bool:
    """Whether a process runs: a zombie holds nothing any more, and waits for whoever collects it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def fake(id_: str = "m", **fields: Any) -> dict[str, Any]:
    """An entry; what is no field of an entry is an option of the fake engine."""
    entry = {"idle_timeout", "pinned", "preload", "memory_gb", "start_silence", "stop_grace", "max_queue", "replicas"}
    options = {key: value for key, value in fields.items() if key not in entry}
    return {"id": id_, "engine": "fake", **{k: v for k, v in fields.items() if k in entry}, "options": options}


def later(function: Any, *args: Any, **options: Any) -> Future[Any]:
    """Run in a thread; the test goes on."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function, *args, **options)
    pool.shutdown(wait=False)
    return future


@contextmanager
def asking(house: House, model: str, text: str) -> Iterator[None]:
    """A client that has sent its request, and leaves without an answer."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    host, _, port = house.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
        yield


def until(events: Any, **fields: Any) -> list[dict[str, Any]]:
    """Events up to the one with these fields."""
    seen = []
    for event in events:
        seen.append(event)
        if all(event[key] == value for key, value in fields.items()):
            break
    return seen
