"""Starts real worker processes as the manager does.

    with worker_process.worker({"engine": "fake", "options": {...}}) as worker:
        answer = worker.post("/v1/embeddings", {"input": "hello"})

`worker.client` is an httpx2 client with the worker's address and token. A worker that cannot load raises NotReady.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2
import psutil

from contract.asgi.serve import listen
from contract.config import ModelSpec
from scripts.testbed.http import local_client

ROOT = Path(__file__).parents[2]


class NotReady(Exception):
    """The worker reported a failure or exited; `event` is its report, if there was one."""

    def __init__(self, event: dict[str, Any] | None, log: str) -> None:
        super().__init__(f"{event}\n{log}")
        self.event = event


class Worker:
    """A worker process: starts at once, and gets its model with `assign`."""

    def __init__(self, imports: str = "", env: dict[str, str] | None = None, python: str | None = None) -> None:
        self.uuid, self.token = uuid.uuid4().hex, secrets.token_hex(8)
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()  # None: the pipe is closed
        with listen("127.0.0.1", 0) as sock:
            self.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            self.process = self._spawn(python or sys.executable, sock.fileno(), imports, env or {})
        self.client = local_client(base_url=self.url, headers={"authorization": f"Bearer {self.token}"})

    def _spawn(self, python: str, sock: int, imports: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        reading, writing = os.pipe()
        environ = {**os.environ, "ENGINEHOUSE_WORKER": self.uuid, "PYTHONUNBUFFERED": "1", **env}
        arguments = ["--socket", str(sock), "--report", str(writing), "--imports", imports]
        process = subprocess.Popen(
            [python, "-m", "workers", *arguments],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, start_new_session=True,
            pass_fds=(sock, writing), env=environ,
        )  # fmt: skip
        os.close(writing)
        self._reader = threading.Thread(target=self._read_reports, args=(reading,))
        self._reader.start()
        return process

    def _read_reports(self, fd: int) -> None:
        with os.fdopen(fd) as reports:
            for line in reports:
                self.events.put(json.loads(line))
        self.events.put(None)

    def assign(self, spec: dict[str, Any], dtype: str = "float32", environment: dict[str, str] | None = None) -> None:
        """Write the assignment."""
        model = ModelSpec.model_validate({"id": "model", **spec})
        assignment = {
            "name": f"{model.id}#1",
            "spec": model.model_dump(mode="json"),
            "device": {"kind": "cpu", "dtype": dtype},
            "token": self.token,
            "environment": environment or {},
        }
        assert self.process.stdin
        self.process.stdin.write(json.dumps(assignment).encode() + b"\n")
        self.process.stdin.flush()

    def wait_for(self, event: str, timeout: float = 200) -> dict[str, Any]:
        """The next report of that event. Raises NotReady if the worker fails or exits before it."""
        while (report := self.events.get(timeout=timeout)) and report["event"] != "failed":
            if report["event"] == event:
                return report
        if report and event == "failed":
            return report
        raise NotReady(report, self.log())

    def post(self, path: str, body: dict[str, Any], **headers: str) -> httpx2.Response:
        """POST JSON."""
        return self.client.post(path, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    @contextmanager
    def disconnecting_client(self, path: str, body: dict[str, Any], request_id: str) -> Iterator[None]:
        """A client that sends a request, and disconnects at the end of the block without reading the answer."""
        content = json.dumps(body).encode()
        fields = {"host": "x", "content-type": "application/json", "content-length": len(content)}
        fields |= {"authorization": f"Bearer {self.token}", "x-request-id": request_id}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        with socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2]))) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
            yield

    def log(self) -> str:
        """Everything that it has logged."""
        return os.pread(self._log.fileno(), 10**7, 0).decode(errors="replace")

    def close_stdin(self) -> None:
        """Close its stdin, as the manager's death would."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()

    def tree(self) -> list[psutil.Process]:
        """The processes that carry its mark in their environment."""
        processes = psutil.process_iter(["environ"])
        return [p for p in processes if (p.info["environ"] or {}).get("ENGINEHOUSE_WORKER") == self.uuid]

    def close(self) -> None:
        """Kill it and the processes that it left behind."""
        self.client.close()
        self.close_stdin()
        for process in self.tree():
            process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        self._reader.join(30)
        self._log.close()


@contextmanager
def worker(
    spec: dict[str, Any], *, imports: str = "", dtype: str = "float32", env: dict[str, str] | None = None
) -> Iterator[Worker]:
    """A worker that serves `spec` (an entry of `models`; `id` may be left out). Raises NotReady."""
    process = Worker(imports, env, spec.get("python"))
    try:
        process.assign(spec, dtype)
        process.wait_for("ready")
        yield process
    finally:
        process.close()
