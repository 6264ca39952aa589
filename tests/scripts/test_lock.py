"""The lock: what is installed is what it says, and it says all that pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from scripts.packages import choice, locked
from scripts.packages.installer import newest
from scripts.packages.lock import ALONE, WITH_DEPENDENCIES
from scripts.packages.locked import Lock

PROJECT = tomllib.loads(locked.PROJECT.read_text())
OURS = "enginehouse"


def lock(*lines: str) -> Lock:
    return Lock(tuple(map(Requirement, lines)))


def project(**extras: list[str]) -> dict[str, Any]:
    own = {"name": OURS, "dependencies": [], "optional-dependencies": extras}
    return {"project": own, "dependency-groups": {}, "build-system": {"requires": []}}


@pytest.mark.skipif(newest(), reason="LATEST=1: the newest versions are installed, not the locked ones")
def test_what_is_installed_is_what_is_locked() -> None:
    there = {one.metadata["Name"]: one.version for one in metadata.distributions()}
    assert list(locked.differences({name: version for name, version in there.items() if name != OURS})) == []


def test_the_lock_satisfies_pyproject_on_every_machine() -> None:
    assert list(locked.problems()) == []


def test_the_lock_names_no_index_and_no_path() -> None:
    text = locked.LOCK.read_text()
    assert not re.search(r"://|^-|--|(^|\s)/", text, re.MULTILINE)


def test_every_group_is_locked() -> None:
    assert {*WITH_DEPENDENCIES, *ALONE} == PROJECT["dependency-groups"].keys()


def test_a_word_of_the_command_line_is_an_extra() -> None:
    there = PROJECT["project"]["optional-dependencies"].keys()
    assert {*choice.EXTRAS, *choice.BASE, choice.TESTS} <= there


def test_the_engine_on_linux_has_the_versions_that_macs_have() -> None:
    pins = [Lock.read().pins(machine) for machine in locked.machines().values()]
    for name in ("mlx", "mlx-lm", "mlx-vlm", "mflux"):
        assert len({str(pin[name]) for pin in pins}) == 1


def test_a_stale_lock_is_found() -> None:
    wanted = project(chat=["a>=2", "b; sys_platform == 'darwin'", f"{OURS}[ocr]"])
    told = list(locked.problems(lock("a==1"), wanted))
    assert len(told) == 12 + 4
    assert told[0] == (
        "requirements.lock: the extra chat asks for a>=2, the lock has 1 on Linux x86_64, Python 3.11; "
        "`make lock KEEP=1` mends it"
    )
    assert list(locked.problems(lock("a==2", "b==1 ; sys_platform == 'darwin'"), wanted)) == []


def test_two_versions_for_one_machine_are_found() -> None:
    told = list(locked.problems(lock("a==1", "a==2 ; python_version < '3.12'"), project()))
    assert told[0] == "requirements.lock: a has 2 versions on Linux x86_64, Python 3.11"
    assert len(told) == 3


def test_what_differs_from_the_lock_is_told() -> None:
    pins = lock("torch==2.13.0", "a-b==1", "c==1", "d==1")
    there = {"torch": "2.13.0+cpu", "A_b": "1", "c": "2", "e": "1"}
    assert list(locked.differences(there, pins)) == [
        "c 2 is installed, but the lock has 1",
        "e 1 is installed, but the lock does not name it",
    ]


def test_dockerfile_and_make_install_by_the_lock() -> None:
    root = locked.PROJECT.parent
    assert "--constraint requirements.lock" in (root / "gateway" / "Dockerfile").read_text()
    assert "!requirements.lock" in (root / ".dockerignore").read_text().splitlines()
    scripts = [root / "Makefile", *Path(root, "scripts").rglob("*.sh"), root / "gateway" / "Dockerfile"]
    for line in "\n".join(path.read_text() for path in scripts).splitlines():
        if re.search(r"pip install (?!--no-cache-dir --constraint).*(editable|'\.\[)", line):
            assert "-c requirements.lock" in line
