"""Counts what an engine does: how many rows share each step, what is read of prompts, images, what is kept."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any


class StepMeter:
    """Written by the threads that answer requests, read by the one that reports to the manager."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._steps: Counter[int] = Counter()
        self._tokens: Counter[str] = Counter()
        self._images = 0
        self.held: Mapping[str, int] = {}

    def step(self, rows: int) -> None:
        """Count a step of the model that so many rows share."""
        with self._lock:
            self._steps[rows] += 1
        self._news.set()

    def read(self, read: int, reused: int) -> None:
        """Count tokens of prompts that were read, and those that did not have to be."""
        with self._lock:
            self._tokens.update({"read": read, "reused": reused})
        self._news.set()

    def see(self, images: int) -> None:
        """Count images that were drawn or looked at."""
        with self._lock:
            self._images += images
        self._news.set()

    def hold(self, held: Mapping[str, int]) -> None:
        """Note how many bytes are kept for requests to come, by what they are."""
        if held != self.held:
            self.held = dict(held)
            self._news.set()

    def wait(self) -> None:
        """Return once there is something to take."""
        self._news.wait()

    def take(self) -> dict[str, Any]:
        """What has been counted since the last time, as JSON has it; nothing where nothing has."""
        if not self._news.is_set():
            return {}
        self._news.clear()
        with self._lock:
            steps, self._steps = self._steps, Counter()
            tokens, self._tokens = self._tokens, Counter()
            images, self._images = self._images, 0
        counts = {str(rows): count for rows, count in steps.items()}
        return {"steps": counts, "tokens": tokens, "images": images, "held": self.held}
