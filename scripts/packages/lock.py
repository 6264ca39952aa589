"""Writes the lock: uv resolves what pyproject.toml asks for, for every platform and Python at once.

uv only resolves; it installs nothing: it would take the CUDA build of torch where pip finds the small one.
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
from scripts.packages.locked import PROJECT, PYTHONS, applies, machines

WITH_DEPENDENCIES = ("build", "lock")
ALONE = ("mlx-on-linux", "depth-anything-3")
"""Groups of pyproject.toml that are installed without what they ask for: the lock has their own versions alone."""
_HEADER = """\
# The versions that Enginehouse is tested with, on Linux (x86_64, arm64) and macOS (arm64), Python {first} to {last}.
# Written by `make lock` from pyproject.toml; do not edit. pip takes it as constraints: it says which version, and the
# extras say what is installed.
"""
_ALONE = """
# Installed without what they ask for; pyproject.toml says why.
"""
_SHORT = [
    " and ".join(filter(None, clauses))
    for clauses in itertools.product(
        ("", "sys_platform == 'linux'", "sys_platform == 'darwin'"),
        ("", *(f"python_version {how} '{python}'" for python in PYTHONS[1:] for how in ("<", ">="))),
    )
]


def renew(*, keep: bool) -> None:
    """Write the lock anew, with the newest versions or, to `keep`, with those it has where they are allowed."""
    print(f"Resolving {PROJECT.name} for {len(machines())} machines.", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        full, alone = Path(folder, "full.txt"), Path(folder, "alone.txt")
        if keep and LOCK.exists():
            for place in (full, alone):  # uv keeps the versions that its output file has
                place.write_bytes(LOCK.read_bytes())
        groups = [f"--group={PROJECT}:{name}" for name in WITH_DEPENDENCIES]
        _compile(full, "--all-extras", "--annotation-style=line", *groups, str(PROJECT), keep=keep)
        groups = [f"--group={PROJECT}:{name}" for name in ALONE]
        _compile(alone, "--no-deps", "--no-annotate", f"--constraint={full}", *groups, keep=keep)
        lines, more = list(_lines(full)), list(_lines(alone))
    lone = [line for line in more if not _said(line, lines)]
    before = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    header = _HEADER.format(first=PYTHONS[0], last=PYTHONS[-1])
    LOCK.write_text(header + "\n".join(lines) + "\n" + _ALONE + "\n".join(lone) + "\n", encoding="utf-8")
    changed = set(_pins(LOCK.read_text(encoding="utf-8"))) - set(_pins(before))
    print("\n".join(sorted(changed)) or "No version has changed.")


def _compile(output: Path, *arguments: str, keep: bool) -> None:
    uv = Path(sysconfig.get_path("scripts"), "uv")
    command = [str(uv), "pip", "compile", "--universal", f"--python-version={PYTHONS[0]}", "--no-header", "--quiet"]
    silent = ["--no-emit-index-url", "--no-emit-find-links", "--system-certs", f"--output-file={output}"]
    done = subprocess.run(
        [*command, *silent, *([] if keep else ["--upgrade"]), *arguments],
        cwd=PROJECT.parent, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise PipFailed("uv cannot resolve what pyproject.toml asks for; see above.")


def _lines(output: Path) -> Iterator[str]:
    """uv's lines, each with the shortest marker that says the same of the machines that the lock is for."""
    for line in output.read_text(encoding="utf-8").splitlines():
        text, _, why = line.partition("#")
        if text.strip():
            pin = Requirement(text)
            where = _shortest(pin)
            reason = why.strip().replace(f" ({PROJECT.name})", "").replace(f" ({PROJECT})", "")
            pin.marker = Marker(where) if where else None
            yield str(pin).replace('"', "'").replace("; ", " ; ") + (f"  # {reason}" if reason else "")


def _said(line: str, lines: list[str]) -> bool:
    """Whether the lines pin the same already, wherever the line does."""
    pin, *pins = (Requirement(one.partition("#")[0]) for one in (line, *lines))
    same = [one for one in pins if (one.name, one.specifier) == (pin.name, pin.specifier)]
    return all(any(applies(one, m) for one in same) for m in machines().values() if applies(pin, m))


def _shortest(pin: Requirement) -> str:
    holds = [applies(pin, machine) for machine in machines().values()]
    for marker in _SHORT:
        if [not marker or Marker(marker).evaluate(dict(machine)) for machine in machines().values()] == holds:
            return marker
    return str(pin.marker)


def _pins(lock: str) -> Iterator[str]:
    return (line.partition("#")[0].strip() for line in lock.splitlines() if not line.startswith("#") and line)
