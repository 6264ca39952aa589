"""Adopts what workers leave behind when they are killed, so that it can be found and ended (Linux).

A worker's root, or the guard of an external server, adopts descendants whose parent has ended. When the root itself is
killed, the manager adopts all of them: children that it has not started itself, whatever their session, parent and
environment.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Container, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from manager import process_tree

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37


def become_subreaper() -> None:
    """Adopt descendants whose parent ends, where the system can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def is_subreaper() -> bool:
    """Whether this process adopts descendants."""
    value = ctypes.c_int(0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(value), 0, 0, 0)
    return bool(value.value)


def adopted(own: Container[int]) -> list[psutil.Process]:
    """The living processes that this one has adopted and that carry no worker's uuid. `own`: those that it has started.

    A process that was forked a moment ago does not run its program yet: it has our command line or none. Since it gets
    its uuid together with its own command line, that is read first.
    """
    if not is_subreaper():
        return []
    orphans = []
    for pid in process_tree.children_by_parent().get(os.getpid(), ()):
        runs_a_program = _command_line(pid) not in {b"", _command_line(os.getpid())}
        if pid not in own and runs_a_program and process_tree.uuid_of(pid) is None:
            with suppress(psutil.Error):
                orphans.append(psutil.Process(pid))
    return [process for process in orphans if process_tree.alive(process)]


def collect(pids: Iterable[int], group: int) -> None:
    """Collect the exit codes of adopted processes and of those in the group of a root that has ended."""
    for pid in (*pids, -group):
        with suppress(ChildProcessError):  # it was not adopted, or has been collected
            while os.waitpid(pid, os.WNOHANG)[0]:
                continue


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
