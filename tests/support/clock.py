"""What programs see after the wall clock was set, without setting it."""

from __future__ import annotations

import psutil
import pytest


def step_clock(monkeypatch: pytest.MonkeyPatch, seconds: float = 3600) -> None:
    """Make psutil report start times as after such a step: it derives them from the wall clock."""
    create_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: create_time(process) + seconds)
