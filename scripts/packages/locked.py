"""Reads the lock: what it pins on which machine, whether pyproject.toml agrees, whether what is installed does."""

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
    """Every machine that the lock is for, with what markers ask about it: platforms times Pythons."""
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
class Lock:
    """The lines of a lock."""

    lines: tuple[Requirement, ...]

    @classmethod
    def read(cls, path: Path = LOCK) -> Lock:
        """Raises OSError, and InvalidRequirement for a line that is none."""
        lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
        return cls(tuple(Requirement(line) for line in lines if line))

    def pins(self, machine: Mapping[str, str] | None = None) -> dict[str, set[Version]]:
        """Versions by name on a machine; None: on this one. More than one version for a name is a mistake."""
        found: dict[str, set[Version]] = {}
        for line in self.lines:
            if applies(line, machine):
                found.setdefault(canonicalize_name(line.name), set()).update(Version(s.version) for s in line.specifier)
        return found


def applies(requirement: Requirement, machine: Mapping[str, str] | None, extra: str = "") -> bool:
    """Whether a requirement holds on a machine; None: on this one."""
    marker = requirement.marker
    return marker is None or marker.evaluate({**(machine or {}), "extra": extra})


def asked(project: Mapping[str, Any]) -> Iterable[tuple[str, Requirement]]:
    """What pyproject.toml asks for, each with where: of the project, its extras, its groups, and its build."""
    own, name = project["project"], canonicalize_name(project["project"]["name"])
    places = {
        "dependencies": own["dependencies"],
        **{f"the extra {extra}": needs for extra, needs in own["optional-dependencies"].items()},
        **{f"the group {group}": needs for group, needs in project["dependency-groups"].items()},
        "build-system": project["build-system"]["requires"],
    }
    for place, needs in places.items():
        for need in map(Requirement, needs):
            if canonicalize_name(need.name) != name:  # one extra in another: that one has its own turn
                yield place, need


def problems(lock: Lock | None = None, project: Mapping[str, Any] | None = None) -> Iterable[str]:
    """Where the lock does not do what pyproject.toml asks for, a line each."""
    lock = lock or Lock.read()
    needs = list(asked(project or tomllib.loads(PROJECT.read_text(encoding="utf-8"))))
    for machine, environment in machines().items():
        pins = lock.pins(environment)
        for name, versions in pins.items():
            if len(versions) > 1:
                yield f"{LOCK.name}: {name} has {len(versions)} versions on {machine}"
        for place, need in needs:
            versions = pins.get(canonicalize_name(need.name), set())
            if applies(need, environment) and not any(need.specifier.contains(v, prereleases=True) for v in versions):
                has = f"has {', '.join(map(str, versions))}" if versions else "has none"
                yield f"{LOCK.name}: {place} asks for {need}, the lock {has} on {machine}; `make lock KEEP=1` mends it"


def differences(installed: Mapping[str, str], lock: Lock | None = None) -> Iterable[str]:
    """Where what is installed (names and versions) is not what the lock pins on this machine, a line each."""
    pins = (lock or Lock.read()).pins()
    for name, version in installed.items():
        pinned = pins.get(canonicalize_name(name))
        if pinned is None:
            yield f"{name} {version} is installed, but the lock does not name it"
        elif Version(version) not in pinned and Version(Version(version).public) not in pinned:
            yield f"{name} {version} is installed, but the lock has {', '.join(map(str, pinned))}"
