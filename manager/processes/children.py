"""Who was born here: written down at every birth, so that whatever a broken manager left behind can be ended.

A process is known by its pid, its start time and the uuid in its environment: a pid alone may be somebody else's by
now. One manager at a time may use a state folder.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from manager import process_tree

log = logging.getLogger(__name__)


class ChildRegistry:
    """The identities of living children, in a file that is always whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)

    def born(self, uuid: str, pid: int, name: str) -> None:
        """Write down a birth."""
        with suppress(psutil.Error):  # it ended at once: nothing to remember
            self._known[uuid] = {"pid": pid, "started": psutil.Process(pid).create_time(), "name": name}
            self._save()

    def named(self, uuid: str, name: str) -> None:
        """A standby has become a worker."""
        if uuid in self._known:
            self._known[uuid]["name"] = name
            self._save()

    def gone(self, uuid: str) -> None:
        """Forget a child of which nothing is left."""
        if self._known.pop(uuid, None) is not None:
            self._save()

    def _save(self) -> None:
        """A full disk must not make a birth fail: the child lives already, and only a crash would need the file."""
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(self._known))
            new.replace(self._path)
        except OSError as error:
            log.error("the children cannot be written down in %s: %s", self._path, error)


def reap(path: Path) -> list[int]:
    """End what an earlier manager left, escaped grandchildren included. Returns the pids that were ended."""
    known = _read(path)
    carriers = process_tree.carriers() if known else {}
    ended = []
    for uuid, identity in known.items():
        left = {process.pid: process for process in (*carriers.get(uuid, []), *_family(uuid, identity))}
        if survivors := kill(left.values()):
            log.error("%s of an earlier manager cannot be ended: pids %s", identity.get("name"), survivors)
        ended += list(left)
    path.unlink(missing_ok=True)
    if ended:
        log.warning("ended what an earlier manager had left behind: pids %s", ended)
    return ended


def kill(processes: Iterable[psutil.Process], bound: float = 5.0) -> list[int]:
    """KILL, and wait until they are gone, `bound` seconds at most. Returns the pids that are still there.

    psutil compares start times: a recycled pid is never hit. Zombies are gone: some inits take seconds to ask for an
    orphan's exit code, and those of our own children are for others to ask for.
    """
    left = list(processes)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    deadline, delay = time.monotonic() + bound, 0.001
    while (left := [process for process in left if process_tree.alive(process)]) and time.monotonic() < deadline:
        time.sleep(delay)
        delay = min(0.05, delay * 2)
    return [process.pid for process in left]


def end_group(leader: int, number: signal.Signals) -> None:
    """Signal a process group whose leader has not been replaced; one that is gone is fine."""
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(leader, number)


@contextmanager
def lock_home(home: Path) -> Iterator[None]:
    """Hold the state folder. Raises OSError when another manager has it."""
    path = home / "manager" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            message = f"another manager (pid {file.read().strip()}) uses {home}; stop it, or set ENGINEHOUSE_HOME"
            raise OSError(message) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _family(uuid: str, identity: dict[str, Any]) -> list[psutil.Process]:
    """The child, its group and its descendants, if it is the very process that was born, and not a recycled pid.

    A program that renames itself may have overwritten its environment; then its start time says enough.
    """
    with suppress(psutil.Error, KeyError):
        root = psutil.Process(identity["pid"])
        if abs(root.create_time() - identity["started"]) < 0.05 and process_tree.mark(root.pid) in {uuid, None}:
            return [root, *_group(root.pid), *root.children(recursive=True)]
    return []


def _group(leader: int) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == leader:
                members.append(process)
    return members
