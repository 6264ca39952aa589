"""Installs the chosen extras with pip, in the lock's versions, into the environment whose Python runs this."""

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
from scripts.packages.pip_progress import DOWNLOADED_BYTES, PipProgress

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
ENVIRONMENT = Path(sys.prefix)
_LOG = "pip.log"
_INSTALLED_LOCK = "requirements.lock"
_NEWEST_MARK = ".newest"
_MLX_GROUP = "mlx-on-linux"


class PipFailed(Exception):
    """pip or uv ended with an error, which is already on the terminal."""


def has_newest_versions() -> bool:
    """Whether this environment has the newest versions that pyproject.toml allows instead of the locked ones."""
    return (ENVIRONMENT / _NEWEST_MARK).exists()


def install(words: Sequence[str], *, tests: bool, latest: bool) -> None:
    """Install the extras and engines that the words name, next to those that are already installed.

    Without words, install those that were chosen before, or all in a new environment. Starts a new pip.log. Raises
    UnknownWord and PipFailed.
    """
    started = time.monotonic()
    extras = choice.extras_to_install(ENVIRONMENT, words) | ({choice.TESTS} if tests else set())
    (ENVIRONMENT / _LOG).unlink(missing_ok=True)
    if latest:
        (ENVIRONMENT / _NEWEST_MARK).touch()
    versions = "the newest versions that pyproject.toml allows" if latest else f"the versions of {LOCK.name}"
    print(f"Installing Enginehouse and {_describe(extras)} into {ENVIRONMENT.name} ({versions}).", flush=True)
    _install_extras(extras, latest=latest)
    if not latest:
        _uninstall_dropped()
        shutil.copy(LOCK, ENVIRONMENT / _INSTALLED_LOCK)
    choice.save_extras(ENVIRONMENT, extras)
    for mark in [".ready", ".tested"] if choice.TESTS in extras else [".ready"]:
        (ENVIRONMENT / mark).touch()
    seconds = time.monotonic() - started
    print(f"Done in {seconds:.0f} s: {ENVIRONMENT.name} has {_count_packages()} packages.", flush=True)


def run_pip(*arguments: str, into: Path = ENVIRONMENT) -> None:
    """Run this environment's pip, on this or another environment, and show its progress.

    What pip prints is appended to `into`/pip.log. Raises PipFailed.
    """
    has_raw_bar = tuple(map(int, metadata.version("pip").split(".")[:2])) >= (24, 1)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    command += [] if into == ENVIRONMENT else ["--python", str(into / "bin" / "python")]
    display = ["--progress-bar", "raw" if has_raw_bar else "off", "--root-user-action", "ignore"]
    action = [arguments[0], *(display if arguments[0] == "install" else []), *arguments[1:]]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    log = into / _LOG
    with (
        log.open("a", encoding="utf-8") as log_file,
        subprocess.Popen(
            [*command, *action], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
    ):
        log_file.write(f"\npip {' '.join(arguments)}\n")
        follow(process, PipProgress(sys.stdout, _count_packages), log_file)
    if process.returncode:
        raise PipFailed(f"pip failed; {log} has its whole output. Run the same command again to continue.")


def follow(process: subprocess.Popen[str], progress: PipProgress, log_file: TextIO) -> None:
    """Show and log what pip prints, until it ends. The log leaves out the thousands of lines about downloaded bytes."""
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
            return progress.close()
        if not DOWNLOADED_BYTES.match(line):
            log_file.write(line)
        progress.read_line(line)


def _install_extras(extras: set[str], *, latest: bool) -> None:
    if latest:
        options = ["--upgrade", "--upgrade-strategy", "eager", "--constraint", str(_write_exact_pins())]
        build_options = []
    else:
        options = ["--constraint", str(LOCK)]
        build_options = ["--build-constraint", str(LOCK)]
    print("Updating pip in it:", flush=True)
    run_pip("install", *options, "pip")
    print("Downloading the libraries, and then installing them, which takes minutes:", flush=True)
    if extras & choice.WITH_TORCH and (warning := torch_build.warning_for_this_machine(LOCK)):
        print(warning, flush=True)
    run_pip("install", *options, *build_options, "--editable", choice.requirement(extras))
    if sys.platform == "linux" and extras & {"mlx", choice.TESTS}:
        _install_mlx(options)


def _write_exact_pins() -> Path:
    """Write the exact pins of pyproject.toml as constraints, without which pip tries newer builds of torch first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [text for extra in project["optional-dependencies"].values() for text in extra]
    pins = {text for text in requirements if "==" in text.split(";")[0]}
    file = ENVIRONMENT / "exact.txt"
    file.write_text("\n".join(sorted(pins)) + "\n", encoding="utf-8")
    return file


def _install_mlx(options: list[str]) -> None:
    """Install MLX for the CPU without the dependencies of mlx-vlm, mlx-audio and mflux; pyproject.toml says why."""
    try:
        run_pip("install", *options, "--no-deps", "--group", _MLX_GROUP)
    except PipFailed:
        libc = " ".join(platform.libc_ver())
        print(f"MLX needs glibc 2.35, but this machine has {libc}: only the tests of MLX fail.", flush=True)


def _uninstall_dropped() -> None:
    """Uninstall packages that the lock named at the last installation and no longer names."""
    installed_lock = ENVIRONMENT / _INSTALLED_LOCK
    if installed_lock.exists():
        dropped = _pinned_names(installed_lock) - _pinned_names(LOCK)
        if installed := sorted(name for name in dropped if any(metadata.distributions(name=name))):
            print(f"Removing packages that are no longer needed: {', '.join(installed)}", flush=True)
            run_pip("uninstall", "--yes", *installed)


def _pinned_names(lock: Path) -> set[str]:
    return set(re.findall(r"(?m)^([\w.-]+)==", lock.read_text(encoding="utf-8")))


def _count_packages() -> int:
    """How many packages are in the environment at this moment."""
    return len(list(ENVIRONMENT.glob("lib/python*/site-packages/*.dist-info")))


def _describe(extras: set[str]) -> str:
    if choice.TESTS in extras:
        return "everything that the tests need"
    return "all engines" if "all" in extras else ", ".join(sorted(extras)) or "no engine"
