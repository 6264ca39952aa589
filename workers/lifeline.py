"""Ends a worker, and every process that it started, as soon as its manager is gone.

Only the manager holds the other end of the worker's stdin. However the manager ends, the system closes that end, and
the worker reads end of file: this needs no timer, and no pid that another process could have taken over.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import sys
import threading
from contextlib import suppress

import psutil

UUID = "ENGINEHOUSE_WORKER"
"""The environment variable that marks a worker's processes, wherever they have moved in the process tree."""


PR_SET_CHILD_SUBREAPER = 36


class Lifeline:
    """Reads stdin on a thread of its own: first the assignment, then nothing until end of file."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        become_subreaper()
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def first_line(self) -> bytes:
        """Wait for the assignment: one line of JSON."""
        return self._lines.get()

    def _watch(self) -> None:
        try:
            self._read_until_eof()
        finally:
            kill_tree()

    def _read_until_eof(self) -> None:
        line = bytearray()
        while data := os.read(self._fd, 65536):
            line += data
            if data.endswith(b"\n"):
                self._lines.put(bytes(line))
                line.clear()


def become_subreaper() -> None:
    """On Linux, adopt descendants whose parent ends, so that they stay in this process's tree."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_tree() -> None:
    """Kill this process, its group, its descendants, and every process that carries its mark in the environment."""
    own_pid = os.getpid()
    try:
        killed: set[int] = {own_pid}
        while alive := [pid for pid in _tree(own_pid) if pid not in killed]:  # repeat: some may have forked meanwhile
            for pid in alive:
                _kill(pid)
            killed.update(alive)
    finally:
        if os.getpgrp() == own_pid:
            os.killpg(own_pid, signal.SIGKILL)
        os.kill(own_pid, signal.SIGKILL)


def _tree(root: int) -> list[int]:
    descendants = [child.pid for child in psutil.Process(root).children(recursive=True)]
    return descendants + _marked(os.environ.get(UUID, ""))


def _marked(mark: str) -> list[int]:
    if not mark:
        return []
    processes = psutil.process_iter(["environ"])  # environ is None where it may not be read
    return [process.pid for process in processes if (process.info["environ"] or {}).get(UUID) == mark]


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has ended, or its pid belongs to another user by now
        os.kill(pid, signal.SIGKILL)
