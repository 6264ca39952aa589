"""Finds a worker's processes: its root, the root's descendants, and those that left the tree but carry its uuid.

Every worker starts with `ENGINEHOUSE_WORKER=<uuid>` in its environment, and its children inherit the variable. `tree`
follows parents and is cheap enough for sampling; `marked` reads every process's environment and is meant for stopping.
Zombies hold no memory and count as gone.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from manager import cgroups

MARK = "ENGINEHOUSE_WORKER"
"""The environment variable that marks a process as part of a worker."""

ChildPids = Mapping[int, list[int]]
"""The pids of each process's children, by the parent's pid."""


def tree(pid: int, uuid: str, child_pids: ChildPids | None = None) -> list[psutil.Process]:
    """The worker's root, its descendants and all else in its cgroup, if it has one; empty if the root is gone.

    The root counts as gone if its pid now belongs to another process.

    To look up several workers, read `children_by_parent()` once and pass it as `child_pids`.
    """
    root = _process(pid)
    if root is None or not _is_root(root, uuid):
        return []
    child_pids = children_by_parent() if child_pids is None else child_pids
    pids = dict.fromkeys([*_descendants(pid, child_pids), *cgroups.members(uuid)])
    descendants = (_process(child) for child in pids if child != pid)
    return [process for process in (root, *descendants) if process is not None and alive(process)]


def marked(uuid: str) -> list[psutil.Process]:
    """Every living process that carries the uuid or is in its cgroup, the root included, wherever its parent is."""
    members = [process for pid in cgroups.members(uuid) if (process := _process(pid)) and alive(process)]
    return list({process.pid: process for process in (*marked_by_uuid().get(uuid, []), *members)}.values())


def find_all(pid: int, uuid: str) -> list[psutil.Process]:
    """Every living process of a worker: those in its tree and those that carry its uuid, each once."""
    return list({process.pid: process for process in (*tree(pid, uuid), *marked(uuid))}.values())


def marked_by_uuid() -> dict[str, list[psutil.Process]]:
    """Every living process that carries a worker's uuid, grouped by uuid, from one pass over all processes."""
    by_uuid: dict[str, list[psutil.Process]] = {}
    for pid in psutil.pids():
        uuid = uuid_of(pid)
        process = _process(pid) if uuid else None
        if uuid and process and alive(process):
            by_uuid.setdefault(uuid, []).append(process)
    return by_uuid


def children_by_parent() -> ChildPids:
    """Which processes each process has started, from one pass over all processes (about 30 microseconds each)."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid in psutil.pids():
        parent = _parent(pid)
        if parent is not None:
            children[parent].append(pid)
    return children


def uuid_of(pid: int) -> str | None:
    """The uuid of the worker that a process belongs to; None if it carries none, or its environment is not readable."""
    if sys.platform == "linux":  # psutil decodes and splits the whole environment: far slower in a scan
        _, variable, rest = (b"\0" + _read(pid, "environ")).partition(f"\0{MARK}=".encode())
        return rest.partition(b"\0")[0].decode(errors="replace") if variable else None
    try:
        return psutil.Process(pid).environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def alive(process: psutil.Process) -> bool:
    """Whether the process is running: neither gone nor a zombie, which holds nothing but its exit code."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def is_suspended(pid: int) -> bool:
    """Whether a process is stopped (SIGSTOP, or a debugger)."""
    try:
        return psutil.Process(pid).status() in {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
    except psutil.Error:
        return False


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _is_root(process: psutil.Process, uuid: str) -> bool:
    """A program that renames itself may overwrite its environment; then being our own unmarked child is enough."""
    carried = uuid_of(process.pid)
    return carried == uuid or (carried is None and _parent(process.pid) == os.getpid())


def _descendants(pid: int, child_pids: ChildPids) -> Iterator[int]:
    for child in child_pids.get(pid, ()):
        yield child
        yield from _descendants(child, child_pids)


def _parent(pid: int) -> int | None:
    if sys.platform == "linux":
        after_name = _read(pid, "stat").rpartition(b")")[2].split()  # the name may contain spaces and brackets
        return int(after_name[1]) if len(after_name) > 1 else None
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
