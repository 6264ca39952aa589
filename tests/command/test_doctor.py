"""`enginehouse doctor`: what it finds wrong, and the command that puts it right."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from command.doctor import host
from command.doctor.devices import mismatches
from command.doctor.finding import Finding, Machine
from command.places import Places
from contract import config
from tests.support.terminal import EnginehouseCommand


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def machine(folder: Path, **sections: Any) -> Machine:
    file = folder / "config.yaml"
    settings = {"gateway": {"host": "127.0.0.1", "port": 0}, "manager": {"port": 0}, **sections}
    file.write_text(yaml.safe_dump(settings))
    environ = {"ENGINEHOUSE_CONFIG": str(file), "ENGINEHOUSE_HOME": str(folder / "data"), "HF_HOME": str(folder)}
    return Machine(Places(file, folder / "data"), config.load(file, environ), environ)


def verdicts(findings: Iterator[Finding]) -> list[str]:
    return [finding.verdict for finding in findings]


def test_names_the_port_that_is_taken(tmp_path: Path, taken_port: int) -> None:
    (taken,) = host.ports(machine(tmp_path, manager={"port": taken_port}))
    assert taken.verdict == "problem"
    assert str(taken_port) in taken.message
    assert verdicts(host.ports(machine(tmp_path))) == ["warning"]  # it does not run


def test_open_servers_get_a_warning(tmp_path: Path) -> None:
    (access,) = host.access(machine(tmp_path, gateway={"host": "0.0.0.0", "port": 0}))
    assert (access.verdict, access.remedy) == ("warning", "enginehouse keys new NAME")
    assert verdicts(host.access(machine(tmp_path))) == ["fine"]


def test_gated_models_need_a_token(tmp_path: Path) -> None:
    models = [{"id": "sam3", "engine": "transformers_segment", "source": "facebook/sam3"}]
    (gated,) = host.tokens(machine(tmp_path, models=models))
    assert (gated.verdict, "HF_TOKEN" in gated.remedy) == ("warning", True)
    (tmp_path / "token").write_text("hf_x")
    assert verdicts(host.tokens(machine(tmp_path, models=models))) == ["fine"]
    secret = tmp_path / "data" / "manager" / "token"
    secret.parent.mkdir(parents=True)
    secret.touch()
    secret.chmod(0o644)
    (readable,) = host.tokens(machine(tmp_path))
    assert readable.remedy == f"chmod 600 {secret}"


def test_libraries_of_the_wrong_version_are_named() -> None:
    wrong = [(requirement.name, found) for requirement, found in mismatches(["pytest<1", "pytest>=1", "nonesuch>1"])]
    assert [name for name, _ in wrong] == ["pytest"]


def test_prints_findings_and_exits_with_1_for_a_problem(tmp_path: Path) -> None:
    given = machine(tmp_path)
    enginehouse = EnginehouseCommand(environ=given.environ)
    findings = json.loads(enginehouse("doctor", "--json").stdout)
    assert {"device", "libraries", "server", "access", "disk", "container", "memory"} <= {f["about"] for f in findings}
    given.places.config.write_text("gateway: {prot: 1}")
    broken = enginehouse("doctor")
    assert broken.returncode == 1
    assert "configuration" in broken.stdout
    assert str(given.places.config) in broken.stdout.replace("\n", "")
