"""Finds a worker's processes: its root, the root's descendants, and those that escaped but still carry its uuid.

Every worker is born with `ENGINEHOUSE_WORKER=<uuid>` in its environment, and its children inherit that. `tree` follows
parents and is cheap enough for sampling; `escaped` reads every process's environment and is meant for stopping.
Zombies hold nothing and count as gone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

MARK = "ENGINEHOUSE_WORKER"
"""The environment variable by which a process is known to belong to a worker."""


def tree(pid: int, uuid: str) -> list[psutil.Process]:
    """The worker's root, if it lives and is not another process with a reused pid, and its descendants."""
    try:
        root = psutil.Process(pid)
        if not _is_root(root, uuid):
            return []
        found = [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
    return [process for process in found if alive(process)]


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
    for process in psutil.process_iter():
        uuid = mark(process)
        if uuid and alive(process):
            found.setdefault(uuid, []).append(process)
    return found


def mark(process: psutil.Process) -> str | None:
    """The uuid of the worker that a process belongs to; None where it carries none or may not be asked."""
    if sys.platform == "linux":  # psutil decodes and splits all of it: far slower in a scan
        return _find(_environ_bytes(process.pid))
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def alive(process: psutil.Process) -> bool:
    """Whether it runs: neither gone nor a zombie, which holds nothing but its exit code."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _is_root(process: psutil.Process, uuid: str) -> bool:
    """A program that renames itself may overwrite its environment; then being our own unmarked child is enough."""
    found = mark(process)
    return found == uuid or (found is None and process.ppid() == os.getpid())


def _environ_bytes(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _find(environ: bytes) -> str | None:
    _, found, rest = (b"\0" + environ).partition(f"\0{MARK}=".encode())
    return rest.partition(b"\0")[0].decode(errors="replace") if found else None
