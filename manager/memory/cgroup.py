"""Reads the memory limits that a container or a service puts on this process, from cgroup version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limit:
    """One cgroup's limit and use in bytes. Page cache that the kernel can drop does not count as used."""

    total: int
    used: int


@dataclass(frozen=True, slots=True)
class _LimitFiles:
    limit: str
    used: str
    droppable: str


_V2 = _LimitFiles("memory.max", "memory.current", "inactive_file")
_V1 = _LimitFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def limits(own: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> list[Limit]:
    """The limits of this process's group and of every group above it; empty if there are none."""
    candidates = (_limit(folder, files) for folder, files in _groups(own, mount))
    return [limit for limit in candidates if limit]


def _groups(own: Path, mount: Path) -> Iterator[tuple[Path, _LimitFiles]]:
    """Inside a container the group's path may be the host's; then only the top folder of the mount exists."""
    for line in _text(own).splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            yield from ((folder, _V2) for folder in _with_parents(mount, path))
        elif "memory" in controllers.split(","):
            yield from ((folder, _V1) for folder in _with_parents(mount / "memory", path))


def _with_parents(top: Path, path: str) -> Iterator[Path]:
    relative = Path(path.lstrip("/"))
    yield from (top / part for part in (relative, *relative.parents) if ".." not in part.parts)


def _limit(folder: Path, files: _LimitFiles) -> Limit | None:
    total, used = _text(folder / files.limit).strip(), _text(folder / files.used).strip()
    if not total.isdigit() or not used.isdigit():  # "max", or no such file
        return None
    return Limit(int(total), max(0, int(used) - _stat(folder, files.droppable)))


def _stat(folder: Path, name: str) -> int:
    pairs = (line.split() for line in _text(folder / "memory.stat").splitlines())
    return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == name), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
