"""Installs what was chosen into the environment that runs this, by pip, in the versions of the lock."""

from __future__ import annotations

import os
import platform
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TextIO

from scripts.packages import choice, torch_build
from scripts.packages.progress import Progress

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
ENVIRONMENT = Path(sys.prefix)
_KEPT = ENVIRONMENT / "requirements.lock"
_NEWEST = ENVIRONMENT / ".newest"
_MLX = "mlx-on-linux"


class PipFailed(Exception):
    """pip ended with an error, which it has told."""


def newest() -> bool:
    """Whether this environment has the newest versions that pyproject.toml allows, and not the locked ones."""
    return _NEWEST.exists()


def install(words: Sequence[str], *, tests: bool, latest: bool) -> None:
    """Add what the words stand for (nothing: what was chosen before, or all) to the environment.

    Raises UnknownWord and PipFailed.
    """
    began = time.monotonic()
    if latest:
        _NEWEST.touch()
    chosen = choice.chosen(ENVIRONMENT, words) | ({choice.TESTS} if tests else set())
    options = ["--upgrade", "--upgrade-strategy", "eager", *_exact()] if latest else ["--constraint", str(LOCK)]
    print(
        f"Installing Enginehouse and {_named(chosen)} into {ENVIRONMENT.name} ({_versions(latest=latest)}).", flush=True
    )
    pip("install", *options, "pip")
    if chosen & choice.WITH_TORCH and (note := torch_build.note(LOCK)):
        print(note, flush=True)
    build = [] if latest else ["--build-constraint", str(LOCK)]
    pip("install", *options, *build, "--editable", choice.requirement(chosen))
    if sys.platform == "linux" and chosen & {"mlx", choice.TESTS}:
        _install_mlx(options)
    if not latest:
        _remove_dropped()
        shutil.copy(LOCK, _KEPT)
    choice.remember(ENVIRONMENT, chosen)
    for mark in [".ready", ".tested"] if choice.TESTS in chosen else [".ready"]:
        (ENVIRONMENT / mark).touch()
    print(f"Installed, {_count()} packages in {ENVIRONMENT.name}, after {time.monotonic() - began:.0f} s.", flush=True)


def pip(*arguments: str, into: Path = ENVIRONMENT) -> None:
    """Run this environment's pip on an environment, by default on itself, and show its progress. Raises PipFailed."""
    modern = tuple(map(int, metadata.version("pip").split(".")[:2])) >= (24, 1)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    command += [] if into == ENVIRONMENT else ["--python", str(into / "bin" / "python")]
    bars = ["--progress-bar", "raw" if modern else "off", "--root-user-action", "ignore"]
    action = [arguments[0], *(bars if arguments[0] == "install" else []), *arguments[1:]]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [*command, *action], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    log = into / "pip.log"
    with log.open("a", encoding="utf-8") as said:
        said.write(f"\n{' '.join(arguments)}\n")
        _follow(process, Progress(sys.stdout, _count), said)
    if process.wait():
        raise PipFailed(f"pip could not finish; {log} has all that it said. Call the same again.")


def _follow(process: subprocess.Popen[str], progress: Progress, said: TextIO) -> None:
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=0.5)
        except queue.Empty:
            progress.tick()
            continue
        if line is None:
            return progress.end()
        said.write(line)
        progress.line(line)


def _exact() -> list[str]:
    """The exact pins of pyproject.toml as constraints: else pip tries newer builds of torch first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = {need for needs in project["optional-dependencies"].values() for need in needs if "==" in need.split(";")[0]}
    file = ENVIRONMENT / "exact.txt"
    file.write_text("\n".join(sorted(pins)) + "\n", encoding="utf-8")
    return ["--constraint", str(file)]


def _install_mlx(options: list[str]) -> None:
    """MLX for the CPU, without what mlx-vlm and mflux ask for: pyproject.toml says why."""
    try:
        pip("install", *options, "--no-deps", "--group", _MLX)
    except PipFailed:
        libc = " ".join(platform.libc_ver())
        print(
            f"MLX cannot be installed here ({libc}; it needs glibc 2.35): its tests fail. The rest works.", flush=True
        )


def _remove_dropped() -> None:
    """Uninstall what the lock held when this environment was made and holds no longer."""
    if _KEPT.exists():
        dropped = _names(_KEPT) - _names(LOCK)
        if gone := sorted(name for name in dropped if any(metadata.distributions(name=name))):
            print(f"Removing what is no longer needed: {', '.join(gone)}", flush=True)
            pip("uninstall", "--yes", *gone)


def _names(lock: Path) -> set[str]:
    return set(re.findall(r"(?m)^([\w.-]+)==", lock.read_text(encoding="utf-8")))


def _count() -> int:
    """How many distributions lie in the environment. Looks anew at each call."""
    return len(list(ENVIRONMENT.glob("lib/python*/site-packages/*.dist-info")))


def _named(chosen: set[str]) -> str:
    if choice.TESTS in chosen:
        return "everything that the tests need"
    return "all engines" if "all" in chosen else ", ".join(sorted(chosen)) or "no engine"


def _versions(*, latest: bool) -> str:
    return "the newest versions that pyproject.toml allows" if latest else f"the versions of {LOCK.name}"
