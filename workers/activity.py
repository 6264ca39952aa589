"""Tells the manager what the engine's thread does, so that work that no client waits for is noticed."""

from __future__ import annotations

import threading
import time

from contract.status import EngineActivity
from workers.batcher import Batcher
from workers.report import Report

_INTERVAL = 1.0
"""Seconds between two looks; what is over sooner is not reported."""


class ActivityReporter:
    """Reports what the engine's thread does, as far as that lasts longer than `_INTERVAL` seconds."""

    def __init__(self, batcher: Batcher, report: Report) -> None:
        self._batcher, self._report = batcher, report
        threading.Thread(target=self._run, name="activity reports", daemon=True).start()

    def _run(self) -> None:
        reported: EngineActivity = "idle"
        while True:
            self._batcher.begun.wait()
            self._batcher.begun.clear()
            time.sleep(_INTERVAL)
            while (activity := self._batcher.activity) != reported or activity != "idle":
                if activity != reported:
                    self._report("activity", activity=activity)
                    reported = activity
                time.sleep(_INTERVAL)
