"""Chooses the moments for work that may wait, such as starting standbys, so that it slows down no request."""

from __future__ import annotations

from collections.abc import Callable

DEADLINE = 10.0
"""Seconds after which requests in progress are no reason to wait any longer: some servers are always busy."""


class QuietMoments:
    """Calls `on_quiet` once after workers have changed. Times are in seconds on the event loop's clock."""

    def __init__(self, on_quiet: Callable[[], None]) -> None:
        self._on_quiet = on_quiet
        self._due_since: float | None = 0.0  # the first call is due at once

    def note_change(self, now: float) -> None:
        """Workers have changed: make a call due, unless one is already."""
        self._due_since = self._due_since or now

    def check(self, now: float, *, starting: bool, leases: int) -> None:
        """Call `on_quiet` if a call is due, no worker is starting, and no request is in progress."""
        if self._due_since is None or starting or (leases and now - self._due_since < DEADLINE):
            return
        self._due_since = None
        self._on_quiet()
