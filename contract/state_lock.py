"""Locks a program's part of the state folder, so that no two gateways and no two managers share one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lock_home(home: Path, program: str) -> Iterator[None]:
    """Lock `home` for a program (`gateway` or `manager`). Raises BlockingIOError if another one of its kind uses it.

    The system releases the lock when the process ends, however it ends.
    """
    path = home / program / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            message = f"another {program} (pid {file.read().strip()}) uses {home}; stop it, or set ENGINEHOUSE_HOME"
            raise BlockingIOError(message) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
