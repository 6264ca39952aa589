"""The sockets of the system: how much they hold, and which a process has."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def more_than_sockets_hold() -> int:
    """Bytes that exceed the sockets between three programs, the last of which reads nothing, whatever their limits."""
    receive, send = (Path(f"/proc/sys/net/ipv4/tcp_{kind}mem") for kind in ("r", "w"))
    largest = [int(limit.read_text().split()[2]) if limit.exists() else 2**23 for limit in (receive, send, send)]
    return sum(largest) + 2**22


def sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets; none if it has ended."""
    links = set()
    with suppress(FileNotFoundError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # it has been closed meanwhile
                links.add(os.readlink(path))
    return {link for link in links if link.startswith("socket:")}
