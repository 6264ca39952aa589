"""What `make install` writes for systemd and launchd. scripts/e2e/systemd.sh runs the units under a real systemd."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.house import service
from scripts.house.launchd import Launchd
from scripts.house.service import ROOT
from scripts.house.systemd import Systemd

PROGRAMS = ("manager", "gateway")


@pytest.mark.parametrize("system", [True, False], ids=["system", "user"])
def test_the_units_are_right(tmp_path: Path, *, system: bool) -> None:
    home, units = tmp_path / "data", tmp_path / "units"
    systemd = Systemd(system=system, folder=units)
    systemd.write(PROGRAMS, home, {"ENGINEHOUSE_HOME": str(home), "GATEWAY_API_KEY": 'a"b$c\\'})

    manager = (units / "enginehouse-manager.service").read_text()
    assert f'ExecStart="{sys.executable}" -m manager\n' in manager
    assert "KillMode=mixed\n" in manager
    assert "ExecReload=/bin/kill -HUP $MAINPID\n" in manager
    assert (f"User={ROOT.owner()}\n" in manager) is system
    assert f"WantedBy={'multi-user' if system else 'default'}.target\n" in manager
    assert (home / "service.env").stat().st_mode & 0o077 == 0
    assert 'GATEWAY_API_KEY="a\\"b\\$c\\\\"\n' in (home / "service.env").read_text()
    assert systemd.belongs_to(home)
    assert not systemd.belongs_to(tmp_path / "other")

    if shutil.which("systemd-analyze"):
        paths = [str(path) for path in sorted(units.iterdir())]
        verdict = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
        ours = [line for line in verdict.stderr.splitlines() if "enginehouse" in line]
        assert (verdict.returncode, ours) == (0, [])


def test_the_agents_are_right(tmp_path: Path) -> None:
    home, agents = tmp_path / "da&ta", tmp_path / "agents"
    launchd = Launchd(agents)
    launchd.write(PROGRAMS, home, {"ENGINEHOUSE_HOME": str(home)})
    told = plistlib.loads((agents / "dev.enginehouse.gateway.plist").read_bytes())
    assert told["ProgramArguments"] == [sys.executable, "-m", "gateway"]
    assert told["EnvironmentVariables"] == {"ENGINEHOUSE_HOME": str(home)}
    assert told["StandardErrorPath"] == f"{home}/logs/gateway.log"
    assert told["KeepAlive"] == {"SuccessfulExit": False}
    assert launchd.belongs_to(home)
    assert not launchd.belongs_to(tmp_path)


def test_services_keep_what_was_set_when_they_were_installed(tmp_path: Path) -> None:
    environ = {"ENGINEHOUSE_CONFIG": "other.yaml", "GATEWAY_PORT": "9", "HF_TOKEN": "t", "EDITOR": "vi"}
    assert service.environment(tmp_path, ["127.0.0.1", "172.17.0.1"], environ) == {
        "ENGINEHOUSE_CONFIG": str(Path.cwd() / "other.yaml"),
        "ENGINEHOUSE_HOME": str(tmp_path),
        "GATEWAY_PORT": "9",
        "HF_TOKEN": "t",
        "MANAGER_LISTEN": "127.0.0.1,172.17.0.1",
    }
