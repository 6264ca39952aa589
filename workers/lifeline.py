"""Ends a worker, and everything that it started, as soon as its manager is gone.

The manager alone holds the other end of the worker's stdin. Whatever happens to the manager, the system closes that
end, and the end of the input says so here: no timer, no pid to mistake for another's.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from contextlib import suppress

import psutil

UUID = "ENGINEHOUSE_WORKER"
"""The environment variable by which a worker's processes are known, wherever they have gone."""


class Lifeline:
    """Reads stdin on a thread of its own: first the assignment, then nothing, until the manager is gone."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self._first: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def first_line(self) -> bytes:
        """Wait for the assignment: one line of JSON."""
        return self._first.get()

    def _watch(self) -> None:
        try:
            self._read_to_the_end()
        finally:
            kill_tree()

    def _read_to_the_end(self) -> None:
        line = bytearray()
        while data := os.read(self._fd, 65536):
            line += data
            if data.endswith(b"\n"):
                self._first.put(bytes(line))
                line.clear()


def kill_tree() -> None:
    """Kill this process with its group, its descendants and whatever carries its mark in the environment."""
    me = os.getpid()
    try:
        killed: set[int] = {me}
        while found := [pid for pid in _tree(me) if pid not in killed]:  # again: some may have forked meanwhile
            for pid in found:
                _kill(pid)
            killed.update(found)
    finally:
        if os.getpgrp() == me:
            os.killpg(me, signal.SIGKILL)
        os.kill(me, signal.SIGKILL)


def _tree(root: int) -> list[int]:
    descendants = [child.pid for child in psutil.Process(root).children(recursive=True)]
    return descendants + _marked(os.environ.get(UUID, ""))


def _marked(mark: str) -> list[int]:
    if not mark:
        return []
    found = psutil.process_iter(["environ"])  # environ is None where it may not be read
    return [process.pid for process in found if (process.info["environ"] or {}).get(UUID) == mark]


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has gone, or was never ours
        os.kill(pid, signal.SIGKILL)
