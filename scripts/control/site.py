"""One house as the person at the machine sees it: its two programs, and whether they answer."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from contract import config
from contract.asgi.serve import listen
from contract.config import Settings
from contract.status import Status
from scripts.control.program import Program
from scripts.control.trouble import Trouble

READY_WITHIN = 60.0
"""Seconds from the start of both programs until `/ready` must say yes."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Site:
    """A house at its place: the state folder that ENGINEHOUSE_HOME names."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = environ
        self.home: Path = config.home(environ)
        self.manager = Program("manager", self.home)
        self.gateway = Program("gateway", self.home)

    @cached_property
    def settings(self) -> Settings:
        """The configuration. Raises Trouble when it is wrong."""
        try:
            return config.load(environ=self.environ)
        except config.ConfigError as error:
            raise Trouble(str(error)) from None

    @property
    def url(self) -> str | None:
        """Where clients find the house, once the gateway has said so or the configuration does."""
        port = self.settings.gateway.port
        return self.gateway.address or (f"http://127.0.0.1:{port}" if port else None)

    def is_ready(self) -> bool:
        """Whether requests would be served now."""
        try:
            return self.url is not None and _ask("GET", f"{self.url}/ready") is not None
        except (OSError, ValueError):
            return False

    def wait_until_ready(self, alive: Callable[[], None] = lambda: None) -> None:
        """Return when requests are served; `alive` is asked meanwhile and may raise. Raises Trouble if never."""
        self.wait_for("house", self.is_ready, alive)

    def wait_for_manager(self) -> None:
        """Return when the manager answers. Raises Trouble if it takes long."""
        self.wait_for("manager", lambda: self.status() is not None)

    def wait_for(self, what: str, happens: Callable[[], bool], alive: Callable[[], None] = lambda: None) -> None:
        """Return when `happens` says yes; `alive` is asked meanwhile and may raise. Raises Trouble if it takes long."""
        deadline = time.monotonic() + READY_WITHIN
        while not happens():
            alive()
            if time.monotonic() > deadline:
                raise Trouble(f"the {what} is not ready after {READY_WITHIN:.0f} s; see {self.manager.log.parent}")
            time.sleep(0.05)

    def status(self) -> Status | None:
        """What the manager reports, asked with its own token; None when it does not answer."""
        try:
            return Status.model_validate(self._ask_manager("GET", "/status"))
        except (OSError, ValueError):
            return None

    def reload(self) -> list[str]:
        """Have the manager read the configuration again. Raises Trouble when it does not take it on."""
        try:
            changed: list[str] = self._ask_manager("POST", "/reload")["changed"]
        except urllib.error.HTTPError as error:
            raise Trouble(json.load(error)["error"]["message"]) from None
        except OSError:
            raise Trouble("the manager does not answer; `make start` starts the house") from None
        return changed

    def _ask_manager(self, method: str, path: str) -> Any:
        address = self.manager.address or f"http://127.0.0.1:{self.settings.manager.port}"
        return _ask(method, address + path, {"authorization": f"Bearer {self._token()}"})

    def check_ports(self) -> None:
        """Raises Trouble that names the port, and who has it, when one that is needed is taken."""
        gateway, manager = self.settings.gateway, self.settings.manager
        self._check_port(gateway.host, gateway.port, "GATEWAY_PORT")
        for host in manager.listen:
            self._check_port(host, manager.port, "MANAGER_PORT")

    def _check_port(self, host: str, port: int, variable: str) -> None:
        try:
            listen(host, port).close()
        except socket.gaierror:
            raise Trouble(f"there is no address {host!r} on this machine; correct it in the configuration") from None
        except OSError as error:
            who = _listener(port)
            raise Trouble(
                f"cannot listen on {host}, port {port}: {error.strerror}{who}. "
                f"Stop what listens there, or choose another port with {variable}=…"
            ) from None

    def _token(self) -> str:
        if self.settings.manager.token:
            return self.settings.manager.token
        return (self.home / "manager" / "token").read_text().strip()


def _ask(method: str, url: str, headers: Mapping[str, str] | None = None) -> Any:
    """The JSON of the answer. Raises OSError (no answer, or an error's status) or ValueError (no JSON)."""
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
    with _DIRECT.open(request, timeout=60) as answer:
        return json.load(answer)


def _listener(port: int) -> str:
    """Who listens on the port, as far as the system tells us."""
    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        pids = {c.pid for c in listening if c.pid and tuple(c.laddr)[1:2] == (port,)}
        names = {f"{psutil.Process(pid).name()}, pid {pid}" for pid in pids}
    except psutil.Error:
        return ""
    return f" ({'; '.join(sorted(names))})" if names else ""
