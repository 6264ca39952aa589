"""Finds a worker's processes: its root, the root's descendants, and those that escaped but still carry its uuid.

Every worker is born with `ENGINEHOUSE_WORKER=<uuid>` in its environment, and its children inherit that. `tree` follows
parents and is cheap enough for sampling; `escaped` reads every process's environment and is meant for stopping.
Zombies hold nothing and count as gone.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

MARK = "ENGINEHOUSE_WORKER"
"""The environment variable by which a process is known to belong to a worker."""

Families = Mapping[int, list[int]]
"""The pids of each process's children, by the parent's pid."""


def tree(pid: int, uuid: str, known: Families | None = None) -> list[psutil.Process]:
    """The worker's root, if it lives and is not another process with a reused pid, and its descendants.

    To look at several workers, read `families()` once and pass it as `known`.
    """
    root = _process(pid)
    if root is None or not _is_root(root, uuid):
        return []
    below = (_process(child) for child in _below(pid, families() if known is None else known))
    return [process for process in (root, *below) if process is not None and alive(process)]


def escaped(uuid: str) -> list[psutil.Process]:
    """Every living process that carries the uuid, wherever it hangs in the tree of processes (the root included)."""
    return carriers().get(uuid, [])


def whole(pid: int, uuid: str) -> list[psutil.Process]:
    """`tree` and `escaped` together, each process once."""
    found = {process.pid: process for process in (*tree(pid, uuid), *escaped(uuid))}
    return list(found.values())


def carriers() -> dict[str, list[psutil.Process]]:
    """Every living process that carries a worker's uuid, by uuid: one pass over the machine's processes."""
    found: dict[str, list[psutil.Process]] = {}
    for pid in psutil.pids():
        uuid = mark(pid)
        process = _process(pid) if uuid else None
        if uuid and process and alive(process):
            found.setdefault(uuid, []).append(process)
    return found


def families() -> Families:
    """Who is whose child now: one pass over the machine's processes (some 30 microseconds each)."""
    children: dict[int, list[int]] = defaultdict(list)
    for pid in psutil.pids():
        parent = _parent(pid)
        if parent is not None:
            children[parent].append(pid)
    return children


def mark(pid: int) -> str | None:
    """The uuid of the worker that a process belongs to; None where it carries none or may not be asked."""
    if sys.platform == "linux":  # psutil decodes and splits all of it: far slower in a scan
        _, found, rest = (b"\0" + _read(pid, "environ")).partition(f"\0{MARK}=".encode())
        return rest.partition(b"\0")[0].decode(errors="replace") if found else None
    try:
        return psutil.Process(pid).environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def alive(process: psutil.Process) -> bool:
    """Whether it runs: neither gone nor a zombie, which holds nothing but its exit code."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _is_root(process: psutil.Process, uuid: str) -> bool:
    """A program that renames itself may overwrite its environment; then being our own unmarked child is enough."""
    found = mark(process.pid)
    return found == uuid or (found is None and _parent(process.pid) == os.getpid())


def _below(pid: int, children: Families) -> Iterator[int]:
    for child in children.get(pid, ()):
        yield child
        yield from _below(child, children)


def _parent(pid: int) -> int | None:
    if sys.platform == "linux":
        after_name = _read(pid, "stat").rpartition(b")")[2].split()  # the name before it may hold anything
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
