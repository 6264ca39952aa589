"""Runs the gateway and a fake manager as real processes, and waits for conditions."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import yaml

from contract.config import hash_key
from scripts.testbed.http import ONE_REQUEST_EACH, local_client
from tests.support.fake_manager import TOKEN

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def eventually(condition: Callable[[], T], seconds: float = 120) -> T:
    """The first true value of `condition`, which may be false or raise until then."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := condition():
                return value
            problem: object = "it stayed false"
        except (OSError, httpx2.HTTPError, AssertionError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {problem}")
        time.sleep(0.02)


class GatewayExited(Exception):
    """The gateway exited by itself; the argument is its exit code."""


class FakeManagerProcess:
    """A running fake manager."""

    def __init__(self, address: str, process: subprocess.Popen[str]) -> None:
        self.address = address
        self.process = process
        self.port = int(address.rpartition(":")[2])
        self.http = local_client(base_url=address, limits=ONE_REQUEST_EACH)

    def control(self, action: str = "nothing", value: Any = None) -> dict[str, Any]:
        """Send a command to `FakeManager.control`; returns what the fake has recorded."""
        record: dict[str, Any] = self.http.post(f"/control/{action}", json=value).json()
        return record

    def received(self, request_id: str) -> list[dict[str, Any]]:
        """What the fake received for one request id, attempt by attempt."""
        records = self.control()["requests"]
        return [record for record in records if record.get("headers", {}).get("x-request-id") == request_id]

    def orders(self) -> list[dict[str, Any]]:
        """The loads, pins and evictions that it was asked for; a job of an earlier test may still send a request."""
        return [record for record in self.control()["requests"] if "headers" not in record]


class GatewayProcess:
    """A running gateway."""

    def __init__(self, address: str, process: subprocess.Popen[str], home: Path) -> None:
        self.address = address
        self.process = process
        self.home = home
        self.http = local_client(base_url=address)

    def connect(self) -> socket.socket:
        """A plain connection, for requests that no HTTP library sends."""
        host, _, port = self.address.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=120)

    def wait_ready(self) -> None:
        eventually(lambda: self.http.get("/ready").status_code == 200)


@contextmanager
def run_manager(port: int = 0) -> Iterator[FakeManagerProcess]:
    """Run a fake manager until the end of the block."""
    command = [sys.executable, "-m", "tests.support.fake_manager", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            yield FakeManagerProcess(process.stdout.readline().strip(), process)
        finally:
            process.kill()


def configuration(manager_port: int, **sections: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration for the gateway; `sections` override its defaults."""
    settings: dict[str, Any] = {
        "gateway": {"host": "127.0.0.1", "port": 0, "max_body_mb": 32},
        "manager": {"port": manager_port, "token": TOKEN},
    }
    for name, values in sections.items():
        settings[name] = {**settings.get(name, {}), **values}
    return settings


def key(name: str, secret: str, rate_limit: str | None = None) -> dict[str, Any]:
    """An entry of `security.api_keys`."""
    return {"name": name, "key_hash": hash_key(secret), "rate_limit": rate_limit}


@contextmanager
def run_gateway(folder: Path, settings: Mapping[str, Any], limits: str = "true") -> Iterator[GatewayProcess]:
    """Run a gateway until the end of the block; it is alive, but may not be ready yet.

    `limits` is a command of the shell that starts it, such as `ulimit -n 100`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config, home, log = folder / "config.yaml", folder / "home", folder / "gateway.log"
    config.write_text(yaml.safe_dump(dict(settings)))
    environment = {k: v for k, v in os.environ.items() if k not in {"PORT", "GATEWAY_PORT", "API_KEYS", "SECRET_KEY"}}
    environment |= {"ENGINEHOUSE_CONFIG": str(config), "ENGINEHOUSE_HOME": str(home)}
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["sh", "-c", f"{limits}; exec {sys.executable} -m gateway"],
            cwd=ROOT,
            env=environment,
            stderr=output,
            text=True,
        ) as process,
    ):
        try:
            address = eventually(lambda: _address(process, home))
            gateway = GatewayProcess(address, process, home)
            eventually(lambda: gateway.http.get("/healthz").status_code == 200)
            yield gateway
            gateway.http.close()
        finally:
            process.kill()


def _address(process: subprocess.Popen[str], home: Path) -> str:
    if process.poll() is not None:
        raise GatewayExited(process.returncode)
    return (home / "gateway" / "address").read_text().strip()
