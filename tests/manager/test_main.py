"""The manager as a program: what it says when it cannot start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.config import Settings
from manager.__main__ import token

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("home", "configuration", "words"),
    [
        ("file", "{}", "Not a directory"),
        ("home", "manager: {port: 0, listen: [192.0.2.1]}", "cannot listen on 192.0.2.1, port 0: this machine has no"),
        ("home", "models: []\nmodels: []", "the key `models` is in line 1 and again in line 2"),
    ],
    ids=["state folder", "address", "repeated key"],
)
def test_says_in_one_line_why_it_cannot_start(tmp_path: Path, home: str, configuration: str, words: str) -> None:
    (tmp_path / "file").write_text("")
    config = tmp_path / "config.yaml"
    config.write_text(configuration)
    environ = os.environ | {"ENGINEHOUSE_CONFIG": str(config), "ENGINEHOUSE_HOME": str(tmp_path / home / "state")}
    command = [sys.executable, "-m", "manager"]
    done = subprocess.run(command, cwd=ROOT, env=environ, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_replaces_an_empty_token(tmp_path: Path) -> None:
    (tmp_path / "manager").mkdir()
    (tmp_path / "manager" / "token").write_text(" \n")
    made = token(Settings(), tmp_path)
    assert len(made) > 20
    assert token(Settings(), tmp_path) == made
