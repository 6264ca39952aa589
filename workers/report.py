"""Reports events to the manager: JSON lines on a pipe that only the manager and this worker hold."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from typing import Any

from workers.step_meter import StepMeter

_INTERVAL = 1.0
"""Seconds between two reports of a model at work."""


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


class WorkReporter:
    """Reports what a `StepMeter` counts, at most once a second and only while something is counted."""

    def __init__(self, meter: StepMeter, report: Report) -> None:
        self._meter, self._report = meter, report
        threading.Thread(target=self._run, name="work reports", daemon=True).start()

    def send(self) -> None:
        """Report what has been counted since the last time, if anything: at the end, so that nothing is lost."""
        if counts := self._meter.take():
            self._report("work", **counts)

    def _run(self) -> None:
        while True:
            self._meter.wait()
            time.sleep(_INTERVAL)
            self.send()
