"""Writes the lock: uv resolves pyproject.toml for every supported platform and Python at once.

uv only resolves. pip installs, because uv would download the CUDA build of torch where pip finds the smaller CPU build.
"""

from __future__ import annotations

import itertools
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement

from scripts.packages.installer import LOCK, PipFailed
from scripts.packages.lock_file import PROJECT, PYTHONS, applies, machines

GROUPS_WITH_DEPENDENCIES = ("build", "lock")
GROUPS_WITHOUT_DEPENDENCIES = ("mlx-on-linux", "depth-anything-3")
"""Groups of pyproject.toml that are installed with `--no-deps`; the lock pins only their own packages."""
_HEADER = """\
# The versions that Enginehouse is tested with, on Linux (x86_64, arm64) and macOS (arm64), Python {first} to {last}.
# `make lock` writes this file from pyproject.toml; do not edit it. pip uses it as constraints: the extras select
# packages, and this file their versions.
"""
_WITHOUT_DEPENDENCIES = "# Installed without their dependencies; pyproject.toml says why."
_SHORT_MARKERS = [
    " and ".join(filter(None, clauses))
    for clauses in itertools.product(
        ("", "sys_platform == 'linux'", "sys_platform == 'darwin'"),
        ("", *(f"python_version {operator} '{python}'" for python in PYTHONS[1:] for operator in ("<", ">="))),
    )
]


def renew(*, keep: bool) -> None:
    """Write the lock again, and print the pins that changed. Raises PipFailed if uv finds no solution.

    Takes the newest versions or, with `keep`, the present ones where pyproject.toml still allows them.
    """
    print(f"Resolving {PROJECT.name} for {len(machines())} combinations of platform and Python.", flush=True)
    before = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    with tempfile.TemporaryDirectory() as folder:
        full, extra = Path(folder, "full.txt"), Path(folder, "extra.txt")
        if keep:
            for output in (full, extra):  # uv keeps the versions that are in its output file
                output.write_text(before, encoding="utf-8")
        groups = [f"--group={PROJECT}:{name}" for name in GROUPS_WITH_DEPENDENCIES]
        _compile(full, "--all-extras", "--annotation-style=line", *groups, str(PROJECT), keep=keep)
        groups = [f"--group={PROJECT}:{name}" for name in GROUPS_WITHOUT_DEPENDENCIES]
        _compile(extra, "--no-deps", "--no-annotate", f"--constraint={full}", *groups, keep=keep)
        lines = list(_simplified_lines(full))
        extra_lines = [line for line in _simplified_lines(extra) if not _is_covered(line, lines)]
    header = _HEADER.format(first=PYTHONS[0], last=PYTHONS[-1])
    text = header + "\n".join([*lines, "", _WITHOUT_DEPENDENCIES, *extra_lines]) + "\n"
    LOCK.write_text(text, encoding="utf-8")
    print("\n".join(sorted(set(_pins(text)) - set(_pins(before)))) or "No version has changed.")


def _compile(output: Path, *arguments: str, keep: bool) -> None:
    uv = Path(sysconfig.get_path("scripts"), "uv")
    command = [str(uv), "pip", "compile", "--universal", f"--python-version={PYTHONS[0]}", "--no-header", "--quiet"]
    options = ["--no-emit-index-url", "--no-emit-find-links", "--system-certs", f"--output-file={output}"]
    process = subprocess.run(
        [*command, *options, *([] if keep else ["--upgrade"]), *arguments],
        cwd=PROJECT.parent, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    if process.returncode:
        raise PipFailed("uv cannot resolve pyproject.toml; its error is above.")


def _simplified_lines(output: Path) -> Iterator[str]:
    """uv's lines, each with the shortest marker that is equivalent on the lock's platforms and Pythons."""
    for line in output.read_text(encoding="utf-8").splitlines():
        text, _, comment = line.partition("#")
        if text.strip():
            pin = Requirement(text)
            marker = _shortest_marker(pin)
            reason = comment.strip().replace(f" ({PROJECT.name})", "").replace(f" ({PROJECT})", "")
            pin.marker = Marker(marker) if marker else None
            yield str(pin).replace('"', "'").replace("; ", " ; ") + (f"  # {reason}" if reason else "")


def _is_covered(line: str, lines: list[str]) -> bool:
    """Whether the lines already pin the same version, wherever the marker of `line` holds."""
    pin, *pins = (Requirement(text.partition("#")[0]) for text in (line, *lines))
    same = [other for other in pins if (other.name, other.specifier) == (pin.name, pin.specifier)]
    needed_on = [machine for machine in machines().values() if applies(pin, machine)]
    return all(any(applies(other, machine) for other in same) for machine in needed_on)


def _shortest_marker(pin: Requirement) -> str:
    holds = [applies(pin, machine) for machine in machines().values()]
    for marker in _SHORT_MARKERS:
        if [not marker or Marker(marker).evaluate(dict(machine)) for machine in machines().values()] == holds:
            return marker
    return str(pin.marker)


def _pins(lock: str) -> Iterator[str]:
    return (line.partition("#")[0].strip() for line in lock.splitlines() if line and not line.startswith("#"))
