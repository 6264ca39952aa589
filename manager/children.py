"""Who was born here: written down at every birth, so that whatever a broken manager left behind can be ended.

A process is known by its pid, its start time and the uuid in its environment: a pid alone may be somebody else's by
now. One manager at a time may use a state folder.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from manager import tree

log = logging.getLogger(__name__)


class Children:
    """The identities of living children, in a file that is always whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)

    def born(self, uuid: str, pid: int) -> None:
        """Write down a birth."""
        with suppress(psutil.Error):  # it ended at once: nothing to remember
            self._known[uuid] = {"pid": pid, "started": psutil.Process(pid).create_time()}
            self._save()

    def gone(self, uuid: str) -> None:
        """Forget a child of which nothing is left."""
        if self._known.pop(uuid, None) is not None:
            self._save()

    def _save(self) -> None:
        with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False) as file:
            json.dump(self._known, file)
        Path(file.name).replace(self._path)


def reap(path: Path) -> list[int]:
    """End what an earlier manager left, escaped grandchildren included. Returns the pids that were ended."""
    try:
        known: dict[str, dict[str, Any]] = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    carriers = tree.carriers() if known else {}
    ended = []
    for uuid, identity in known.items():
        left = {process.pid: process for process in carriers.get(uuid, [])}
        with suppress(psutil.Error):
            root = psutil.Process(identity["pid"])
            if abs(root.create_time() - identity["started"]) < 0.05 and tree.mark(root.pid) in {uuid, None}:
                left |= {process.pid: process for process in (root, *root.children(recursive=True))}
        kill(left.values())
        ended += list(left)
    path.unlink(missing_ok=True)
    if ended:
        log.warning("ended what an earlier manager had left behind: pids %s", ended)
    return ended


def kill(processes: Iterable[psutil.Process], bound: float = 5.0) -> None:
    """KILL, and wait until they are gone. psutil compares start times: a recycled pid is never hit."""
    doomed = list(processes)
    for process in doomed:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(doomed, timeout=bound)


@contextmanager
def lock_home(home: Path) -> Iterator[None]:
    """Hold the state folder. Raises OSError when another manager has it."""
    path = home / "manager" / "lock"
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
