"""One installation of Enginehouse on this machine: its state folder, its two programs, and requests to them."""

from __future__ import annotations

import errno
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from contract import config
from contract.asgi.serve import listen
from contract.config import Settings
from contract.startup_errors import CannotListen
from contract.status import Status
from scripts.control.daemon import Daemon
from scripts.control.errors import ControlError

READY_TIMEOUT = 60.0
"""Seconds from the start of both programs until `/ready` must answer 200."""
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Installation:
    """The installation whose state folder is ENGINEHOUSE_HOME."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = environ
        self.home: Path = config.home(environ)
        self.manager = Daemon("manager", self.home)
        self.gateway = Daemon("gateway", self.home)

    @property
    def daemons(self) -> tuple[Daemon, Daemon]:
        """Both programs, in the order in which they start."""
        return self.manager, self.gateway

    @cached_property
    def settings(self) -> Settings:
        """The configuration. Raises ControlError if it is invalid."""
        try:
            return config.load(environ=self.environ)
        except config.ConfigError as error:
            raise ControlError(str(error)) from None

    @property
    def url(self) -> str | None:
        """The gateway's URL. None while the system has not yet chosen its port."""
        port = self.settings.gateway.port
        return self.gateway.address or (f"http://127.0.0.1:{port}" if port else None)

    def is_ready(self) -> bool:
        """Whether requests would be served now."""
        try:
            return self.url is not None and _request_json("GET", f"{self.url}/ready") is not None
        except (OSError, ValueError):
            return False

    def wait_until_ready(self, check_running: Callable[[], None] = lambda: None) -> None:
        """Return when requests are served. Calls `check_running` meanwhile, which may raise.

        Raises ControlError after a timeout.
        """
        self._wait_for("Enginehouse", self.is_ready, check_running)

    def wait_for_manager(self) -> None:
        """Return when the manager answers. Raises ControlError after a timeout."""
        self._wait_for("The manager", lambda: self.status() is not None)

    def _wait_for(
        self, what: str, condition: Callable[[], bool], check_running: Callable[[], None] = lambda: None
    ) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        while not condition():
            check_running()
            if time.monotonic() > deadline:
                raise ControlError(f"{what} is not ready after {READY_TIMEOUT:.0f} s. See {self.manager.log.parent}.")
            time.sleep(0.05)

    def status(self) -> Status | None:
        """The manager's status; None if it does not answer."""
        try:
            return Status.model_validate(self._request_manager("GET", "/status"))
        except (OSError, ValueError):
            return None

    def reload(self) -> list[str]:
        """Have the manager read the configuration again. Returns what changed.

        Raises ControlError if the manager refuses the configuration or does not answer.
        """
        try:
            changed: list[str] = self._request_manager("POST", "/reload")["changed"]
        except urllib.error.HTTPError as error:
            raise ControlError(json.load(error)["error"]["message"]) from None
        except OSError:
            raise ControlError("The manager does not answer. `make start` starts Enginehouse.") from None
        return changed

    def forget(self, model: str) -> bool:
        """Have the manager forget a model's measured memory. Returns whether there was anything.

        Raises ControlError if there is no such model or the manager does not answer.
        """
        try:
            forgotten: bool = self._request_manager("POST", f"/forget/{quote(model)}")["forgotten"]
        except urllib.error.HTTPError as error:
            raise ControlError(json.load(error)["error"]["message"]) from None
        except OSError:
            raise ControlError("The manager does not answer. `make start` starts Enginehouse.") from None
        return forgotten

    def _request_manager(self, method: str, path: str) -> Any:
        address = self.manager.address or f"http://127.0.0.1:{self.settings.manager.port}"
        return _request_json(method, address + path, {"authorization": f"Bearer {self._token()}"})

    def check_ports(self) -> None:
        """Raises ControlError if a port is taken. The message names the port and the process that has it."""
        gateway, manager = self.settings.gateway, self.settings.manager
        if gateway.port == manager.port and gateway.port and gateway.host in {"0.0.0.0", "::", *manager.listen}:
            message = f"Gateway and manager cannot both listen on port {gateway.port}"
            raise ControlError(f"{message}. Choose another one for either with GATEWAY_PORT=… or MANAGER_PORT=…")
        _check_port(gateway.host, gateway.port, "GATEWAY_PORT")
        for host in manager.listen:
            _check_port(host, manager.port, "MANAGER_PORT")

    def _token(self) -> str:
        if self.settings.manager.token:
            return self.settings.manager.token
        return (self.home / "manager" / "token").read_text().strip()


def _check_port(host: str, port: int, variable: str) -> None:
    try:
        listen(host, port).close()
    except CannotListen as error:
        hint = "Correct the address in the configuration"
        if error.errno == errno.EADDRINUSE:
            hint = f"Stop the program that listens there, or choose another port with {variable}=…"
        raise ControlError(f"Cannot listen on {host}, port {port}: {error.reason}{_listeners(port)}. {hint}") from None


def _request_json(method: str, url: str, headers: Mapping[str, str] | None = None) -> Any:
    """The JSON of an answer. Raises OSError for no answer or an error status, ValueError if the answer is not JSON."""
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
    with _NO_PROXY.open(request, timeout=60) as answer:
        return json.load(answer)


def _listeners(port: int) -> str:
    """The processes that listen on a port, in brackets; empty if the system does not say."""
    try:
        connections = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        pids = {c.pid for c in connections if c.pid and tuple(c.laddr)[1:2] == (port,)}
        names = {f"{psutil.Process(pid).name()}, pid {pid}" for pid in pids}
    except psutil.Error:
        return ""
    return f" ({'; '.join(sorted(names))})" if names else ""
