"""Gives each worker a cgroup of its own (cgroup v2), which its processes cannot leave by detaching themselves.

It is used where one may be had: where the manager's own cgroup may be written to, as under systemd with `Delegate=yes`.
Without it, a worker's processes are found by their parents, their environment and their record.
"""

from __future__ import annotations

import functools
import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

PREFIX = "enginehouse-"
REMOVAL_TIMEOUT = 2.0
"""Seconds until the kernel has ended all processes of a killed cgroup."""

ATTEMPTS = 3
VARIABLE = "ENGINEHOUSE_CGROUP"
"""The variable by which the guard of an external server learns its cgroup."""


@functools.cache
def own_cgroup(own: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/proc/self/mounts")) -> Path | None:
    """This process's cgroup, if cgroups may be created in it."""
    mount = next((fields[1] for fields in map(str.split, _lines(mounts)) if fields[2:3] == ["cgroup2"]), None)
    path = next((line.removeprefix("0::") for line in _lines(own) if line.startswith("0::")), None)
    if mount is None or path is None:
        return None
    folder = Path(mount) / path.lstrip("/")
    needed = (folder, folder / "cgroup.procs")
    return folder if all(os.access(file, os.W_OK) for file in needed) else None


def create(uuid: str, parent: Path | None = None) -> dict[str, str]:
    """Create a cgroup for a process that is about to start, and return what tells it to enter that, in its environment.

    The process then enters before it starts any other. `enter` moves those that did not.
    """
    parent = parent or own_cgroup()
    if parent is None:
        return {}
    folder = parent / f"{PREFIX}{uuid}"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    return {VARIABLE: str(folder)}


def enter(uuid: str, pid: int, parent: Path | None = None) -> Path | None:
    """Move a process that was just started to a new cgroup. Returns that, or None where none may be had."""
    parent = parent or own_cgroup()
    if parent is None:
        return None
    folder = parent / f"{PREFIX}{uuid}"
    try:
        _move(pid, folder)
        if not (folder / "cgroup.kill").exists():  # before Linux 5.14
            raise FileNotFoundError(folder / "cgroup.kill")
        _move_descendants(pid, folder)
    except OSError:
        with suppress(OSError):
            (parent / "cgroup.procs").write_text(str(pid))
        with suppress(OSError):
            folder.rmdir()
        return None
    return folder


def _move(pid: int, folder: Path) -> None:
    """Move a process to a new cgroup. Another manager that starts may remove it while it is empty: then try again."""
    for _ in range(ATTEMPTS):
        folder.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            (folder / "cgroup.procs").write_text(str(pid))
            return
    raise FileNotFoundError(folder)


def _move_descendants(pid: int, folder: Path) -> None:
    """Move what a process started before it was moved itself: on a busy machine, it runs for a while until then."""
    moved: set[int] = set()
    with suppress(psutil.Error):
        while new := {child.pid for child in psutil.Process(pid).children(recursive=True)} - moved:
            for child in new:
                with suppress(OSError):  # it has ended
                    (folder / "cgroup.procs").write_text(str(child))
            moved |= new


def members(uuid: str, parent: Path | None = None) -> list[int]:
    """The pids in a worker's cgroup; none if it has no cgroup."""
    parent = parent or own_cgroup()
    lines = _lines(parent / f"{PREFIX}{uuid}" / "cgroup.procs") if parent else []
    return [int(line) for line in lines if line.isdigit()]


def end(folder: Path) -> bool:
    """Kill every process in a worker's cgroup at once, and remove it. Returns whether it is gone."""
    if not folder.name.startswith(PREFIX):  # a damaged record must not name anything else
        return False
    deadline = time.monotonic() + REMOVAL_TIMEOUT
    while folder.exists() and time.monotonic() < deadline:
        with suppress(OSError):
            (folder / "cgroup.kill").write_text("1")
        with suppress(OSError):  # until its last process has ended
            folder.rmdir()
            break
        time.sleep(0.01)
    return not folder.exists()


def remove_empty(parent: Path | None = None) -> None:
    """Remove workers' cgroups that a killed manager left. The kernel refuses to remove one that has processes."""
    parent = parent or own_cgroup()
    for folder in parent.glob(f"{PREFIX}*") if parent else ():
        with suppress(OSError):  # a worker of another server
            folder.rmdir()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
