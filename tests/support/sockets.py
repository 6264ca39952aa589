"""The sockets of the system: how much they hold, and which a process has."""

from __future__ import annotations

import os
import random
import socket
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


def lasting_port() -> int:
    """A free port that stays free until the test listens there again: the system gives it to no other program."""
    while True:
        port = random.randint(20_000, 32_000)  # below those that systems choose by themselves
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)):
                return port
