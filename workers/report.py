"""Tells the manager what happens to this worker: JSON lines on a pipe that only the two of them hold."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any


class Report:
    """The writing end. A line stays below what a pipe takes in one piece, so that lines never mix."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._fd = fd

    def __call__(self, event: str, **fields: Any) -> None:
        """Send one event; a manager that has gone reads none, and the lifeline ends us for that."""
        line = json.dumps({"event": event, **fields}) + "\n"
        with suppress(OSError):
            os.write(self._fd, line.encode())
