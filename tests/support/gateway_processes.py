"""Starts the gateway and a fake manager as real processes, and waits for conditions instead of guessing times."""

from __future__ import annotations

import os
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
from tests.support.fake_manager import TOKEN

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def eventually(look: Callable[[], T], seconds: float = 20) -> T:
    """The first true value of `look`, which may fail until then."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := look():
                return found
            problem: object = "it stayed false"
        except (OSError, httpx2.HTTPError, AssertionError) as error:
            problem = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {problem}")
        time.sleep(0.02)


class Ended(Exception):
    """The program gave up by itself; the argument is its exit code."""


class Manager:
    """The tests' side of the fake manager."""

    def __init__(self, address: str, process: subprocess.Popen[str]) -> None:
        self.address = address
        self.process = process
        self.port = int(address.rpartition(":")[2])

    def control(self, action: str, given: Any = None) -> dict[str, Any]:
        """Do one of the things that the fake's `control` knows; answers what it saw so far."""
        return httpx2.post(f"{self.address}/control/{action}", json=given, timeout=20).json()

    def seen(self, request_id: str) -> list[dict[str, Any]]:
        """What came in for one request, attempt by attempt."""
        notes = self.control("seen")["seen"]
        return [note for note in notes if note.get("headers", {}).get("x-request-id") == request_id]


class Gateway:
    """A running gateway."""

    def __init__(self, address: str, process: subprocess.Popen[str], home: Path) -> None:
        self.address = address
        self.process = process
        self.home = home
        self.http = httpx2.Client(base_url=address, timeout=20)

    def wait_ready(self) -> None:
        eventually(lambda: self.http.get("/ready").status_code == 200)


@contextmanager
def run_manager(port: int = 0) -> Iterator[Manager]:
    """A fake manager until the end of the block."""
    command = [sys.executable, "-m", "tests.support.fake_manager", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            yield Manager(process.stdout.readline().strip(), process)
        finally:
            process.kill()


def configuration(manager_port: int, **sections: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for a gateway of the tests; `sections` are laid over them."""
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
def run_gateway(folder: Path, settings: Mapping[str, Any]) -> Iterator[Gateway]:
    """A gateway, alive but maybe not ready, until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    config, home, log = folder / "config.yaml", folder / "home", folder / "gateway.log"
    config.write_text(yaml.safe_dump(dict(settings)))
    environment = {k: v for k, v in os.environ.items() if k not in {"PORT", "GATEWAY_PORT", "API_KEYS", "SECRET_KEY"}}
    environment |= {"ENGINEHOUSE_CONFIG": str(config), "ENGINEHOUSE_HOME": str(home)}
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "gateway"], cwd=ROOT, env=environment, stderr=output, text=True
        ) as process,
    ):
        try:
            address = eventually(lambda: _address(process, home))
            gateway = Gateway(address, process, home)
            eventually(lambda: gateway.http.get("/healthz").status_code == 200)
            yield gateway
            gateway.http.close()
        finally:
            process.kill()


def _address(process: subprocess.Popen[str], home: Path) -> str:
    if process.poll() is not None:
        raise Ended(process.returncode)
    return (home / "gateway" / "address").read_text().strip()
