"""`enginehouse serve`: a first run in empty folders, other servers' options, and an orderly end."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest

from command.places import CLONE, Places
from contract import config
from tests.support.terminal import EnginehouseCommand


@pytest.fixture
def enginehouse(tmp_path: Path) -> EnginehouseCommand:
    folders = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "c"), "XDG_STATE_HOME": str(tmp_path / "s")}
    return EnginehouseCommand(environ={**folders, "MANAGER_PORT": "0"})


def test_first_run_serves_and_says_where(tmp_path: Path, enginehouse: EnginehouseCommand) -> None:
    serving = enginehouse.start("serve", "--port", "0", "--api-key", "a-long-key", "--log-level", "error", cwd=tmp_path)
    assert serving.stdout is not None
    lines = []
    while not lines or "ready" not in lines[-1]:
        lines.append(serving.stdout.readline())
        assert serving.poll() is None, serving.communicate()
    file = tmp_path / "c" / "enginehouse" / "config.yaml"
    assert str(file) in "".join(lines)
    assert {model.id for model in config.load(file, {}).models} == {"ocr", "minilm"}
    url = lines[-1].split()[4].removesuffix("/v1.")
    children = psutil.Process(serving.pid).children(recursive=True)
    assert [model["id"] for model in enginehouse.json("models", "--url", url, "--key", "a-long-key")] == [
        "ocr",
        "minilm",
    ]
    assert enginehouse("models", "--url", url).returncode == 4
    serving.send_signal(signal.SIGTERM)
    assert serving.wait(90) == 0
    assert " INFO " not in serving.communicate()[1]
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert (tmp_path / "s" / "enginehouse" / "manager" / "token").exists()


def test_both_programs_end_with_a_killed_serve(tmp_path: Path, enginehouse: EnginehouseCommand) -> None:
    serving = enginehouse.start("serve", "--port", "0", "--log-level", "error", cwd=tmp_path)
    assert serving.stdout is not None
    while "ready" not in serving.stdout.readline():
        assert serving.poll() is None, serving.communicate()
    children = psutil.Process(serving.pid).children(recursive=True)
    assert len(children) >= 2
    serving.kill()
    _, alive = psutil.wait_procs(children, timeout=90)
    assert not alive
    serving.communicate()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "4"], "`replicas`"),
        (["--reload"], "takes effect when you save it"),
        (["--max-requests", "1000"], "`idle_timeout`"),
        (["--max-requests-jitter", "100"], "`idle_timeout`"),
        (["--log-level", "loud"], "debug, info, warning, error"),
        (["--config", "missing.yaml"], "no file missing.yaml"),
    ],
)
def test_options_without_a_meaning_name_their_place(
    tmp_path: Path, enginehouse: EnginehouseCommand, options: list[str], words: str
) -> None:
    done = enginehouse("serve", *options, cwd=tmp_path)
    assert done.returncode == 1
    assert words in done.stderr
    assert not (tmp_path / "c").exists()


def test_taken_port_and_broken_configuration_are_reported(tmp_path: Path, enginehouse: EnginehouseCommand) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(json.dumps({"gateway": {"prot": 1}}))
    done = enginehouse("serve", "--config", str(file))
    assert (done.returncode, "Did you mean" in done.stderr or "port" in done.stderr) == (1, True)


def test_state_folder_that_cannot_be_made_is_named(tmp_path: Path, enginehouse: EnginehouseCommand) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(json.dumps({"gateway": {"port": 0}, "manager": {"port": 0}}))
    home = tmp_path / "file"
    home.touch()
    done = enginehouse("serve", "--config", str(config), "--home", str(home))
    assert done.returncode == 1
    assert f"{home}: " in done.stderr
    assert "ENGINEHOUSE_HOME chooses another" in done.stderr


def test_places_follow_environment_clone_and_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    assert Places.find({}, CLONE) == Places(CLONE / "config.yaml", CLONE / "data")
    assert Places.find({}, tmp_path).config == tmp_path / "c" / "enginehouse" / "config.yaml"
    named = {"ENGINEHOUSE_CONFIG": str(tmp_path / "a.yaml"), "ENGINEHOUSE_HOME": str(tmp_path / "h")}
    assert Places.find(named, CLONE) == Places(tmp_path / "a.yaml", tmp_path / "h")
