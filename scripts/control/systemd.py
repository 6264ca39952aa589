"""Services under systemd: system units if root installs them, otherwise the user's units."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

from contract.log_files import open_log
from scripts.control.errors import ControlError
from scripts.control.service_manager import ROOT, run_tool, stop_timeout

_TEMPLATES = ROOT / "deploy" / "systemd"
_NAMES = ("manager", "gateway")


class Systemd:
    """The units `enginehouse-manager` and, unless the gateway is a container, `enginehouse-gateway`."""

    def __init__(self, *, system: bool | None = None, folder: Path | None = None) -> None:
        self._system = os.geteuid() == 0 if system is None else system
        default = Path("/etc/systemd/system") if self._system else Path.home() / ".config" / "systemd" / "user"
        self._folder = folder or default

    def belongs_to(self, home: Path) -> bool:
        unit = self._unit("manager")
        return unit.exists() and f"EnvironmentFile={home}/service.env\n" in unit.read_text()

    def install(self, programs: Sequence[str], home: Path, environ: Mapping[str, str]) -> None:
        if self._unit("manager").exists() and not self.belongs_to(home):
            raise ControlError(
                f"{self._unit('manager')} belongs to another installation. Run `make uninstall` there first."
            )
        self._remove(set(self._installed()) - set(programs))
        self.write(programs, home, environ)
        self._systemctl("daemon-reload")
        self._systemctl("enable", *map(_service, programs))
        self._systemctl("restart", *map(_service, programs))

    def write(self, programs: Sequence[str], home: Path, environ: Mapping[str, str]) -> None:
        """Write the units and their environment without starting them."""
        (home / "logs").mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        environment_file = home / "service.env"
        environment_file.touch(mode=0o600)
        environment_file.write_text("".join(f'{name}="{_quoted(value)}"\n' for name, value in environ.items()))
        for name in programs:
            open_log(home / "logs" / f"{name}.log").close()  # systemd would create one that all users can read
            template = Template((_TEMPLATES / _service(name)).read_text())
            self._unit(name).write_text(template.substitute(self._values(home, environ)))
        if self._system:
            _give_to_owner(home)

    def uninstall(self) -> None:
        self._remove(self._installed())
        self._systemctl("daemon-reload")

    def start(self) -> None:
        self._systemctl("start", *map(_service, self._installed()))

    def stop(self) -> None:
        self._systemctl("stop", *map(_service, self._installed()))

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._systemctl("disable", "--now", _service(name))
            self._unit(name).unlink()

    def _values(self, home: Path, environ: Mapping[str, str]) -> dict[str, str]:
        return {
            "PYTHON": sys.executable,
            "ROOT": str(ROOT),
            "STATE": str(home),
            "STOP_TIMEOUT": str(stop_timeout(environ)),
            "AFTER": " docker.service" if self._system else "",
            "TARGET": "multi-user.target" if self._system else "default.target",
            "IDENTITY": f"User={ROOT.owner()}\nGroup={ROOT.group()}\n" if self._system else "",
        }

    def _unit(self, name: str) -> Path:
        return self._folder / _service(name)

    def _installed(self) -> list[str]:
        return [name for name in _NAMES if self._unit(name).exists()]

    def _systemctl(self, *arguments: str) -> None:
        run_tool("systemctl", *([] if self._system else ["--user"]), *arguments)


def _service(name: str) -> str:
    return f"enginehouse-{name}.service"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")


def _give_to_owner(home: Path) -> None:
    """Make the owner of the checkout own the state folder: the services run as that user even if root installs them."""
    owner = ROOT.stat()
    for path in (home, *home.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
