"""Reads the lock, and compares it with pyproject.toml and with the packages that are installed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts.packages.installer import LOCK, ROOT

PROJECT = ROOT / "pyproject.toml"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_PLATFORMS = {
    "Linux x86_64": ("linux", "Linux", "x86_64"),
    "Linux arm64": ("linux", "Linux", "aarch64"),
    "macOS arm64": ("darwin", "Darwin", "arm64"),
}


def machines() -> dict[str, dict[str, str]]:
    """Every combination of platform and Python that the lock supports, with the values for environment markers."""
    return {
        f"{name}, Python {python}": {
            "sys_platform": platform,
            "platform_system": system,
            "platform_machine": machine,
            "os_name": "posix",
            "python_version": python,
            "python_full_version": f"{python}.5",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }
        for python in PYTHONS
        for name, (platform, system, machine) in _PLATFORMS.items()
    }


@dataclass(frozen=True, slots=True)
class LockFile:
    """The requirements in a lock, one for each line."""

    requirements: tuple[Requirement, ...]

    @classmethod
    def read(cls, path: Path = LOCK) -> LockFile:
        """Raises OSError, and InvalidRequirement for a line that is not a requirement."""
        lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
        return cls(tuple(Requirement(line) for line in lines if line))

    def pins(self, machine: Mapping[str, str] | None = None) -> dict[str, set[Version]]:
        """The versions of each package on a machine, by default on this one. A correct lock has one of each."""
        pins: dict[str, set[Version]] = {}
        for requirement in self.requirements:
            if applies(requirement, machine):
                versions = pins.setdefault(canonicalize_name(requirement.name), set())
                versions.update(Version(specifier.version) for specifier in requirement.specifier)
        return pins


def applies(requirement: Requirement, machine: Mapping[str, str] | None) -> bool:
    """Whether the requirement's marker holds on a machine; None is this machine."""
    marker = requirement.marker
    return marker is None or marker.evaluate({**(machine or {}), "extra": ""})


def project_requirements(project: Mapping[str, Any]) -> Iterable[tuple[str, Requirement]]:
    """Every requirement in pyproject.toml, with the name of the list that contains it."""
    table, own_name = project["project"], canonicalize_name(project["project"]["name"])
    lists = {
        "dependencies": table["dependencies"],
        **{f"the extra {extra}": texts for extra, texts in table["optional-dependencies"].items()},
        **{f"the group {group}": texts for group, texts in project["dependency-groups"].items()},
        "build-system": project["build-system"]["requires"],
    }
    for list_name, texts in lists.items():
        for requirement in map(Requirement, texts):
            if (
                canonicalize_name(requirement.name) != own_name
            ):  # an extra that includes another, which has its own list
                yield list_name, requirement


def problems(lock: LockFile | None = None, project: Mapping[str, Any] | None = None) -> Iterable[str]:
    """One line for each requirement that the lock does not satisfy, and for each package that it pins twice."""
    lock = lock or LockFile.read()
    requirements = list(project_requirements(project or tomllib.loads(PROJECT.read_text(encoding="utf-8"))))
    for machine, environment in machines().items():
        pins = lock.pins(environment)
        for name, versions in pins.items():
            if len(versions) > 1:
                yield f"{LOCK.name}: {name} has {len(versions)} versions on {machine}"
        for list_name, requirement in requirements:
            if applies(requirement, environment):
                versions = pins.get(canonicalize_name(requirement.name), set())
                if not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
                    locked = ", ".join(map(str, versions)) or "no version"
                    yield (
                        f"{LOCK.name}: {list_name} requires {requirement}, but the lock has {locked} on {machine}; "
                        "run `make lock KEEP=1`"
                    )


def differences(installed: Mapping[str, str], lock: LockFile | None = None) -> Iterable[str]:
    """One line for each installed package (name to version) that differs from the lock's pins for this machine."""
    pins = (lock or LockFile.read()).pins()
    for name, version in installed.items():
        pinned = pins.get(canonicalize_name(name))
        if pinned is None:
            yield f"{name} {version} is installed, but not in the lock"
        elif Version(version) not in pinned and Version(Version(version).public) not in pinned:
            yield f"{name} {version} is installed, but the lock has {', '.join(map(str, pinned))}"
