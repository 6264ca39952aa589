"""Records every process that the manager starts, so that the next manager can end what a crashed one left behind.

A process is identified by its pid, its identity and the uuid in its environment, since the system reuses pids. Its
descendants are recorded too: they may have a session and an environment of their own, and lose their parent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from contract.process_identity import identity, is_same
from manager import cgroups, process_tree

log = logging.getLogger(__name__)


DESCENDANTS_INTERVAL = 5.0
"""Seconds between two looks at the processes that our children have started."""


class ChildRegistry:
    """The identities of living child processes, in a file that is always complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._children: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, uuid: str, pid: int, name: str, cgroup: Path | None = None) -> None:
        """Record a process that was just started."""
        if known := identity(pid):  # otherwise it ended at once: there is nothing to record
            self._children[uuid] = {"pid": pid, "identity": known, "name": name}
            if cgroup:
                self._children[uuid]["cgroup"] = str(cgroup)
            self._save()

    @property
    def pids(self) -> frozenset[int]:
        """The pids of all recorded processes, without their descendants."""
        return frozenset(record["pid"] for record in self._children.values())

    async def record_descendants(self) -> None:
        """Keep the record of descendants current, for ever."""
        while True:
            await asyncio.sleep(DESCENDANTS_INTERVAL)
            found = await asyncio.to_thread(_descendants, dict(self._children))
            self.note_descendants(found)

    def note_descendants(self, found: Mapping[str, Mapping[str, str]]) -> None:
        """Record descendants: the identity of each pid, by the child's uuid."""
        changed = {uuid: pids for uuid, pids in found.items() if uuid in self._children and pids != self._known(uuid)}
        for uuid, pids in changed.items():
            self._children[uuid]["descendants"] = dict(pids)
        if changed:
            self._save()

    def descendants(self, uuid: str) -> list[psutil.Process]:
        """The recorded descendants of a child that are still running."""
        return _recorded(self._known(uuid))

    def _known(self, uuid: str) -> dict[str, str]:
        known: dict[str, str] = self._children.get(uuid, {}).get("descendants", {})
        return known

    def rename(self, uuid: str, name: str) -> None:
        """Record that a standby has become a worker."""
        if uuid in self._children:
            self._children[uuid]["name"] = name
            self._save()

    def remove(self, uuid: str) -> None:
        """Forget a process that has ended with all its descendants."""
        if self._children.pop(uuid, None) is not None:
            self._save()

    def _save(self) -> None:
        """A full disk must not fail a start: the process is running, and the file only matters after a crash."""
        new = self._path.with_suffix(".new")
        try:
            new.write_text(json.dumps(self._children))
            new.replace(self._path)
        except OSError as error:
            log.error("child processes could not be recorded in %s: %s", self._path, error)


def reap(path: Path) -> list[int]:
    """End everything that an earlier manager left, including descendants that left the tree. Returns the ended pids."""
    children = _read(path)
    marked = process_tree.marked_by_uuid() if children else {}
    ended = []
    for uuid, record in children.items():
        cgroup = Path(record["cgroup"]) if "cgroup" in record else None
        members = _processes(cgroups.members(uuid, cgroup.parent)) if cgroup else []
        remaining = {process.pid: process for process in (*marked.get(uuid, []), *_family(uuid, record), *members)}
        if survivors := kill(remaining.values()):
            log.error("%s of an earlier manager cannot be ended: pids %s", record.get("name"), survivors)
        if cgroup:
            cgroups.end(cgroup)
        ended += list(remaining)
    path.unlink(missing_ok=True)
    cgroups.remove_empty()
    if ended:
        log.warning("ended what an earlier manager had left behind: pids %s", ended)
    return ended


def kill(processes: Iterable[psutil.Process], timeout: float = 5.0) -> list[int]:
    """Send KILL and wait up to `timeout` seconds for the processes to end. Returns the pids that are still alive.

    psutil compares start times, so a reused pid is never hit. Zombies count as ended: some init systems take seconds to
    collect an orphan's exit code, and our own children's codes are collected elsewhere.
    """
    remaining = list(processes)
    for process in remaining:
        with suppress(psutil.Error):
            process.kill()
    deadline, delay = time.monotonic() + timeout, 0.001
    while (remaining := [p for p in remaining if process_tree.alive(p)]) and time.monotonic() < deadline:
        time.sleep(delay)
        delay = min(0.05, delay * 2)
    return [process.pid for process in remaining]


def signal_group(leader: int, number: signal.Signals) -> None:
    """Signal the process group of a leader whose pid has not been reused. A group that has ended is no error."""
    with suppress(ProcessLookupError, PermissionError):  # macOS raises the latter for a group of zombies
        os.killpg(leader, number)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        children = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return children if isinstance(children, dict) else {}


def _family(uuid: str, record: dict[str, Any]) -> list[psutil.Process]:
    """The child and its recorded descendants, each with its group and its descendants, unless a pid was reused.

    A program that renames itself may have overwritten its environment; then its identity is enough.
    """
    family = _recorded(record.get("descendants", {}))
    with suppress(psutil.Error, KeyError):
        root = psutil.Process(record["pid"])
        if is_same(root, record) and process_tree.uuid_of(root.pid) in {uuid, None}:
            family = [root, *family]
    for process in tuple(family):
        with suppress(psutil.Error):
            family += [*_group(process.pid), *process.children(recursive=True)]
    return family


def _descendants(children: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """The identity of each descendant that runs now or is known and still runs, by the child's uuid and the pid."""
    child_pids = process_tree.children_by_parent() if children else {}
    found = {}
    for uuid, record in children.items():
        processes = [*_recorded(record.get("descendants", {})), *process_tree.tree(record["pid"], uuid, child_pids)[1:]]
        identities = {str(process.pid): identity(process.pid) for process in processes}
        found[uuid] = {pid: known for pid, known in identities.items() if known}
    return found


def _processes(pids: Iterable[int]) -> list[psutil.Process]:
    processes = []
    for pid in pids:
        with suppress(psutil.Error):
            processes.append(psutil.Process(pid))
    return processes


def _recorded(identities: Mapping[str, str]) -> list[psutil.Process]:
    """Those of the recorded processes that still run."""
    processes = []
    for pid, known in identities.items():
        with suppress(psutil.Error, ValueError):
            process = psutil.Process(int(pid))
            if identity(process.pid) == known and process_tree.alive(process):
                processes.append(process)
    return processes


def _group(leader: int) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == leader:
                members.append(process)
    return members
