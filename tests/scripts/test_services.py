"""The files that `make install` writes for systemd and launchd. scripts/e2e/systemd.sh runs the units for real."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contract.config import Settings
from scripts.control import container, services
from scripts.control.launchd import Launchd
from scripts.control.service_manager import ROOT, service_environment
from scripts.control.systemd import Systemd

PROGRAMS = ("manager", "gateway")


@pytest.mark.parametrize("system", [True, False], ids=["system", "user"])
def test_systemd_units_are_valid(tmp_path: Path, *, system: bool) -> None:
    home, units = tmp_path / "data", tmp_path / "units"
    systemd = Systemd(system=system, folder=units)
    systemd.write(PROGRAMS, home, {"ENGINEHOUSE_HOME": str(home), "GATEWAY_API_KEY": 'a"b$c\\'})

    manager = (units / "enginehouse-manager.service").read_text()
    assert f'ExecStart="{sys.executable}" -m manager\n' in manager
    assert "KillMode=mixed\n" in manager
    assert f"TimeoutStopSec={Settings().stop_timeout}\n" in manager
    assert "ExecReload=/bin/kill -HUP $MAINPID\n" in manager
    assert (f"User={ROOT.owner()}\n" in manager) is system
    assert f"WantedBy={'multi-user' if system else 'default'}.target\n" in manager
    assert (home / "service.env").stat().st_mode & 0o077 == 0
    assert 'GATEWAY_API_KEY="a\\"b\\$c\\\\"\n' in (home / "service.env").read_text()
    assert systemd.belongs_to(home)
    assert not systemd.belongs_to(tmp_path / "other")

    if shutil.which("systemd-analyze"):
        paths = [str(path) for path in sorted(units.iterdir())]
        verification = subprocess.run(
            ["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False
        )
        ours = [line for line in verification.stderr.splitlines() if "enginehouse" in line]
        assert (verification.returncode, ours) == (0, [])


def test_launchd_agents_are_valid(tmp_path: Path) -> None:
    home, agents = tmp_path / "da&ta", tmp_path / "agents"
    launchd = Launchd(agents)
    launchd.write(PROGRAMS, home, {"ENGINEHOUSE_HOME": str(home)})
    agent = plistlib.loads((agents / "dev.enginehouse.gateway.plist").read_bytes())
    assert agent["ProgramArguments"] == [sys.executable, "-m", "gateway"]
    assert agent["EnvironmentVariables"] == {"ENGINEHOUSE_HOME": str(home)}
    assert agent["StandardErrorPath"] == f"{home}/logs/gateway.log"
    assert agent["ExitTimeOut"] == Settings().stop_timeout
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert launchd.belongs_to(home)
    assert not launchd.belongs_to(tmp_path)


def test_compose_gets_all_its_variables(tmp_path: Path) -> None:
    (tmp_path / "data" / "manager").mkdir(parents=True)
    (tmp_path / "mine.yaml").write_text("gateway: {port: 9000}")
    variables = container.compose_variables(
        tmp_path / "data", {"ENGINEHOUSE_CONFIG": str(tmp_path / "mine.yaml"), "MANAGER_PORT": "9100"}
    )
    assert variables == {
        "ENGINEHOUSE_HOME": str(tmp_path / "data"),
        "ENGINEHOUSE_USER": f"{os.getuid()}:{os.getgid()}",
        "ENGINEHOUSE_CONFIG_FOLDER": str(tmp_path),
        "ENGINEHOUSE_CONFIG_NAME": "mine.yaml",
        "GATEWAY_PORT": "9000",
        "MANAGER_PORT": "9100",
        "STOP_TIMEOUT": str(Settings().stop_timeout),
    }
    used = set(re.findall(r"\$\{(ENGINEHOUSE_\w+|GATEWAY_PORT)", (ROOT / "docker-compose.yml").read_text()))
    assert used <= variables.keys()


@pytest.mark.parametrize(
    ("listen", "bridge", "expected"),
    [
        (["127.0.0.1"], "172.17.0.1", ["127.0.0.1", "172.17.0.1"]),
        (["127.0.0.1"], None, ["127.0.0.1"]),
        (["0.0.0.0"], "172.17.0.1", ["0.0.0.0"]),
        (["172.17.0.1"], "172.17.0.1", ["172.17.0.1"]),
    ],
)
def test_manager_listens_where_containers_reach_it(listen: list[str], bridge: str | None, expected: list[str]) -> None:
    settings = Settings.model_validate({"manager": {"listen": listen}})
    assert services._addresses(settings, bridge) == expected


def test_services_keep_environment_of_installation(tmp_path: Path) -> None:
    environ = {"ENGINEHOUSE_CONFIG": "other.yaml", "GATEWAY_PORT": "9", "HF_TOKEN": "t", "EDITOR": "vi"}
    assert service_environment(tmp_path, ["127.0.0.1", "172.17.0.1"], environ) == {
        "ENGINEHOUSE_CONFIG": str(Path.cwd() / "other.yaml"),
        "ENGINEHOUSE_HOME": str(tmp_path),
        "GATEWAY_PORT": "9",
        "HF_TOKEN": "t",
        "MANAGER_LISTEN": "127.0.0.1,172.17.0.1",
    }
