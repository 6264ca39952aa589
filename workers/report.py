"""Reports events to the manager: JSON lines on a pipe that only the manager and this worker hold."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any


class Report:
    """The writing end of the pipe. Lines stay shorter than PIPE_BUF, so each is written in one piece."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._fd = fd

    def __call__(self, event: str, **fields: Any) -> None:
        """Send one event. A closed pipe is ignored: then the manager is gone, and the lifeline ends this process."""
        line = json.dumps({"event": event, **fields}) + "\n"
        with suppress(OSError):
            os.write(self._fd, line.encode())
