"""The lock pins everything that pyproject.toml requires, and the installed packages have its versions."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from scripts.packages import choice, lock_file
from scripts.packages.installer import has_newest_versions
from scripts.packages.lock_file import LockFile
from scripts.packages.lock_writer import GROUPS_WITH_DEPENDENCIES, GROUPS_WITHOUT_DEPENDENCIES

PROJECT = tomllib.loads(lock_file.PROJECT.read_text())
PROJECT_NAME = "enginehouse"


def lock(*lines: str) -> LockFile:
    return LockFile(tuple(map(Requirement, lines)))


def project(**extras: list[str]) -> dict[str, Any]:
    table = {"name": PROJECT_NAME, "dependencies": [], "optional-dependencies": extras}
    return {"project": table, "dependency-groups": {}, "build-system": {"requires": []}}


@pytest.mark.skipif(has_newest_versions(), reason="LATEST=1 installs the newest versions, not the locked ones")
def test_installed_versions_are_those_of_the_lock() -> None:
    installed = {package.metadata["Name"]: package.version for package in metadata.distributions()}
    del installed[PROJECT_NAME]
    assert list(lock_file.differences(installed)) == []


def test_lock_satisfies_pyproject_on_every_machine() -> None:
    assert list(lock_file.problems()) == []


def test_lock_names_no_index_and_no_path() -> None:
    text = lock_file.LOCK.read_text()
    assert not re.search(r"://|^-|--|(^|\s)/", text, re.MULTILINE)


def test_every_group_is_locked() -> None:
    assert {*GROUPS_WITH_DEPENDENCIES, *GROUPS_WITHOUT_DEPENDENCIES} == PROJECT["dependency-groups"].keys()


def test_words_for_engines_are_extras_in_pyproject() -> None:
    extras = PROJECT["project"]["optional-dependencies"].keys()
    assert {*choice.EXTRAS, *choice.BASE, choice.TESTS} <= extras


def test_mlx_has_the_same_versions_on_linux_and_macos() -> None:
    pins_by_machine = [LockFile.read().pins(machine) for machine in lock_file.machines().values()]
    for name in ("mlx", "mlx-lm", "mlx-vlm", "mflux"):
        assert len({str(pins[name]) for pins in pins_by_machine}) == 1


def test_outdated_lock_is_found() -> None:
    requirements = project(chat=["a>=2", "b; sys_platform == 'darwin'", f"{PROJECT_NAME}[ocr]"])
    problems = list(lock_file.problems(lock("a==1"), requirements))
    assert len(problems) == 12 + 4
    assert problems[0] == (
        "requirements.lock: the extra chat requires a>=2, but the lock has 1 on Linux x86_64, Python 3.11; "
        "run `make lock KEEP=1`"
    )
    assert list(lock_file.problems(lock("a==2", "b==1 ; sys_platform == 'darwin'"), requirements)) == []


def test_two_versions_for_one_machine_are_found() -> None:
    problems = list(lock_file.problems(lock("a==1", "a==2 ; python_version < '3.12'"), project()))
    assert problems[0] == "requirements.lock: a has 2 versions on Linux x86_64, Python 3.11"
    assert len(problems) == 3


def test_differences_from_the_lock_are_reported() -> None:
    pins = lock("torch==2.13.0", "a-b==1", "c==1", "d==1")
    installed = {"torch": "2.13.0+cpu", "A_b": "1", "c": "2", "e": "1"}
    assert list(lock_file.differences(installed, pins)) == [
        "c 2 is installed, but the lock has 1",
        "e 1 is installed, but not in the lock",
    ]


def test_every_installation_uses_the_lock() -> None:
    root = lock_file.PROJECT.parent
    assert "--constraint requirements.lock" in (root / "gateway" / "Dockerfile").read_text()
    assert "!requirements.lock" in (root / ".dockerignore").read_text().splitlines()
    scripts = [root / "Makefile", *Path(root, "scripts").rglob("*.sh"), root / "gateway" / "Dockerfile"]
    for line in "\n".join(path.read_text() for path in scripts).splitlines():
        if re.search(r"pip install (?!--no-cache-dir --constraint).*(editable|'\.\[)", line):
            assert "-c requirements.lock" in line
