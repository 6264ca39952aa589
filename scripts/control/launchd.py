"""Services under launchd on macOS: launch agents of the user who installs them."""

from __future__ import annotations

import os
import plistlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Any
from xml.sax.saxutils import escape

from contract.log_files import open_log
from scripts.control.errors import ControlError
from scripts.control.service_manager import ROOT, run_tool, stop_timeout

_TEMPLATE = ROOT / "deploy" / "launchd" / "dev.enginehouse.plist"
_NAMES = ("manager", "gateway")


class Launchd:
    """The agents `dev.enginehouse.manager` and, unless the gateway is a container, `dev.enginehouse.gateway`."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path.home() / "Library" / "LaunchAgents"
        self._domain = f"gui/{os.getuid()}"

    def belongs_to(self, home: Path) -> bool:
        try:
            agent = plistlib.loads(self._agent("manager").read_bytes())
        except OSError:
            return False
        return bool(agent["EnvironmentVariables"]["ENGINEHOUSE_HOME"] == str(home))

    def install(self, programs: Sequence[str], home: Path, environ: Mapping[str, str]) -> None:
        if self._installed() and not self.belongs_to(home):
            raise ControlError(
                f"{self._agent('manager')} belongs to another installation. Run `make uninstall` there first."
            )
        self.uninstall()
        self.write(programs, home, environ)
        self.start()

    def write(self, programs: Sequence[str], home: Path, environ: Mapping[str, str]) -> None:
        """Write the agents, readable by their owner only, without starting them."""
        (home / "logs").mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in programs:
            open_log(home / "logs" / f"{name}.log").close()  # launchd would create one that all users can read
            agent = self._agent(name)
            agent.touch(mode=0o600)
            agent.write_bytes(plistlib.dumps(_agent(name, home, environ)))

    def uninstall(self) -> None:
        self.stop()
        for name in self._installed():
            self._agent(name).unlink()

    def start(self) -> None:
        for name in self._installed():
            with suppress(ControlError):  # it is loaded already; kickstart reports whether it runs
                run_tool("launchctl", "bootstrap", self._domain, str(self._agent(name)))
            run_tool("launchctl", "kickstart", f"{self._domain}/{_label(name)}")

    def stop(self) -> None:
        for name in self._installed():
            with suppress(ControlError):  # it is not loaded
                run_tool("launchctl", "bootout", f"{self._domain}/{_label(name)}")

    def _agent(self, name: str) -> Path:
        return self._folder / f"{_label(name)}.plist"

    def _installed(self) -> list[str]:
        return [name for name in _NAMES if self._agent(name).exists()]


def _agent(name: str, home: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    values = {"PROGRAM": name, "PYTHON": sys.executable, "ROOT": str(ROOT), "STATE": str(home)}
    values["STOP_TIMEOUT"] = str(stop_timeout(environ))
    text = Template(_TEMPLATE.read_text()).substitute({key: escape(value) for key, value in values.items()})
    return {**plistlib.loads(text.encode()), "EnvironmentVariables": dict(environ)}


def _label(name: str) -> str:
    return f"dev.enginehouse.{name}"
