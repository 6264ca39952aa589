"""Starts a real Enginehouse server: manager and gateway as processes, on free ports, in a folder of their own.

    with RunningServer(folder, [fake_model("m")]) as server:
        answer = server.chat("m", "hello")

Tests, benchmarks and the demo use it.
"""

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
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import yaml
from openai import OpenAI

from contract.config import ENVIRONMENT
from scripts.testbed.http import ONE_REQUEST_EACH, local_client

ROOT = Path(__file__).parents[2]
PATIENCE = 200.0
"""Seconds after which a condition that is waited for counts as failed. Nothing sleeps that long."""
_HTTP = local_client(timeout=PATIENCE, limits=ONE_REQUEST_EACH)


def eventually(what: str, condition: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Poll `condition` until it returns something true, and return that. Raises AssertionError if it never does."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(0.02)
    return result


class RunningServer:
    """A server that runs for the length of a `with` block.

    `models` are entries of config.yaml. Other sections of that file are passed by name: `memory={"max_ram_gb": 1}`.
    """

    def __init__(self, folder: Path, models: list[dict[str, Any]], **sections: Any) -> None:
        self.folder = folder
        self.home = folder / "data"
        self.config = folder / "config.yaml"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.patience = PATIENCE  # seconds that a request may take
        folder.mkdir(parents=True, exist_ok=True)
        self.write_config(models, **sections)

    def write_config(self, models: list[dict[str, Any]], **sections: Any) -> None:
        """Write the configuration file: the system chooses the ports, and there are no standbys unless asked for.

        Changes of the file take effect with a reload only, so that tests decide when.
        """
        settings: dict[str, Any] = {
            "gateway": {"host": "127.0.0.1", "port": 0, **sections.pop("gateway", {})},
            "manager": {"port": 0, "standby": 0, "config_scan_interval": 0, **sections.pop("manager", {})},
            "resources": {"shutdown_timeout": 5, **sections.pop("resources", {})},
            "memory": {"safety_margin_gb": 0.5, **sections.pop("memory", {})},
            **sections,
            "models": models,
        }
        self.config.write_text(yaml.safe_dump(settings, sort_keys=False))

    def __enter__(self) -> RunningServer:
        try:
            self.start("manager")
            self.start("gateway")
            eventually("the server is ready", lambda: self.get("/ready").status_code == 200)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        if error:
            sys.stderr.write(self.log("manager")[-6000:] + self.log("gateway")[-3000:])
        self.close()

    def close(self) -> None:
        """Stop both programs."""
        for name in list(self.processes):
            self.stop(name)

    def launch(self, name: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start `manager` or `gateway`, which may not listen yet."""
        (self.home / name / "address").unlink(missing_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", name],
                cwd=ROOT,
                env={**self._environ(), **(environ or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def start(self, name: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start `manager` or `gateway` and wait until it listens."""
        process, address = self.launch(name, environ), self.home / name / "address"
        eventually(f"the {name} listens", lambda: address.exists() or process.poll() is not None)
        assert process.poll() is None, self.log(name)
        return process

    def _environ(self) -> dict[str, str]:
        """Our environment, without the ports and keys that it may hold for another server."""
        ours = {name: value for name, value in os.environ.items() if name not in {*ENVIRONMENT, "API_KEYS"}}
        return {**ours, "ENGINEHOUSE_CONFIG": str(self.config), "ENGINEHOUSE_HOME": str(self.home)}

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """End a program and return its exit code."""
        process = self.processes.pop(name)
        if process.poll() is None:
            process.send_signal(number)
        return process.wait(90)

    @property
    def url(self) -> str:
        return (self.home / "gateway" / "address").read_text().strip()

    @property
    def client(self) -> OpenAI:
        """OpenAI's own SDK, without its retries."""
        http = local_client(follow_redirects=True, limits=ONE_REQUEST_EACH)
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=self.patience, http_client=http)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return _HTTP.get(self.url + path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> httpx2.Response:
        return _HTTP.post(self.url + path, json=json, **{"timeout": self.patience, **options})

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request with any method."""
        return _HTTP.request(method, self.url + path, **{"timeout": self.patience, **options})

    def stream(self, path: str, json: Any, **options: Any) -> AbstractContextManager[httpx2.Response]:
        """POST a request whose answer is read piece by piece."""
        return _HTTP.stream("POST", self.url + path, json=json, **options)

    def chat(self, model: str, text: str = "hello", **fields: Any) -> httpx2.Response:
        """Ask a chat model, without streaming."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.post("/v1/chat/completions", body)

    def begin_loading(self, model: str) -> None:
        """Start a worker of a model that takes long to load, so that a request finds it loading."""
        assert self.post("/models/load", {"model_id": model, "wait": False}).status_code == 202
        eventually(f"{model} is loading", lambda: self.model(model)["state"] == "starting")

    def status(self) -> dict[str, Any]:
        """`GET /v1/system/status`."""
        result: dict[str, Any] = self.get("/v1/system/status").json()
        return result

    def workers(self, model: str | None = None) -> list[dict[str, Any]]:
        """The workers in the status, of one model or of all."""
        return [worker for worker in self.status()["workers"] if model in {None, worker["model"]}]

    def worker_names(self, model: str) -> list[str]:
        """The names of a model's workers, also of those that are being ended."""
        return [worker["worker"] for worker in self.workers(model)]

    def model(self, id_: str) -> dict[str, Any]:
        """A model in the status."""
        return next(model for model in self.status()["models"] if model["id"] == id_)

    def log(self, name: str) -> str:
        """What a program has written so far."""
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def descendants(self) -> list[psutil.Process]:
        """Every running process that this server started, directly or not: they inherit its ENGINEHOUSE_HOME."""
        programs = {process.pid for process in self.processes.values()}
        return [p for p in psutil.process_iter() if p.pid not in programs and _home(p) == str(self.home)]

    @contextmanager
    def event_stream(self) -> Iterator[Iterator[dict[str, Any]]]:
        """The events of `GET /v1/system/events`, from now on."""
        with _HTTP.stream("GET", f"{self.url}/v1/system/events") as response:
            lines = response.iter_lines()
            next(lines)
            yield (json.loads(line[6:]) for line in lines if line.startswith("data: "))


def _home(process: psutil.Process) -> str | None:
    """The ENGINEHOUSE_HOME of a process; None also for those that we may not look into and those that have ended."""
    try:
        return process.environ().get("ENGINEHOUSE_HOME") if is_running(process) else None
    except (psutil.Error, OSError):
        return None


def is_running(process: psutil.Process) -> bool:
    """Whether a process runs. A zombie does not: it holds nothing and only waits for its parent to collect it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def fake_model(id_: str = "m", **fields: Any) -> dict[str, Any]:
    """An entry of config.yaml for the fake engine; fields that an entry does not have become options of the engine."""
    entry = {"idle_timeout", "pinned", "preload", "memory_gb", "max_queue", "replicas"}
    entry |= {"start_silence", "hang_timeout", "abandoned_timeout", "stop_grace"}
    options = {key: value for key, value in fields.items() if key not in entry}
    return {"id": id_, "engine": "fake", **{k: v for k, v in fields.items() if k in entry}, "options": options}


def in_background(function: Any, *args: Any, **options: Any) -> Future[Any]:
    """Call a function in a thread of its own."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function, *args, **options)
    pool.shutdown(wait=False)
    return future


@contextmanager
def disconnecting_client(server: RunningServer, model: str, text: str) -> Iterator[None]:
    """A client that sends a chat request and disconnects at the end of the block, without reading the answer."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
        yield


def events_until(events: Any, **fields: Any) -> list[dict[str, Any]]:
    """The events up to the first one with these fields, which is the last in the list."""
    seen = []
    for event in events:
        seen.append(event)
        if all(event[key] == value for key, value in fields.items()):
            break
    return seen
