"""How long an answer took, for APIs that report it: in all, loading the model, reading the prompt and generating."""

from __future__ import annotations

import re
import time

from gateway.dialects.dialect import TimedResponse

_TIMING = re.compile(rb"(\w+);dur=([\d.]+)")


class Durations:
    """Measures one answer, from now on. Times are in nanoseconds."""

    def __init__(self) -> None:
        self._started = time.perf_counter_ns()
        self._first: int | None = None  # when the first piece of a stream came
        self._phases: dict[bytes, int] = {}

    def note_timing(self, server_timing: bytes | None) -> None:
        """Note the phases in a Server-Timing header: `queue`, `load` and `infer`, in milliseconds."""
        phases = _TIMING.findall(server_timing or b"")
        self._phases = {name: round(float(milliseconds) * 1e6) for name, milliseconds in phases}

    def note_piece(self) -> None:
        """Note that a piece of a stream has come; the first one counts."""
        self._first = self._first or time.perf_counter_ns()

    def note_loaded(self) -> None:
        """Note that all of the time until now was for loading the model."""
        self._phases = {b"load": time.perf_counter_ns() - self._started}

    def fill(self, response: TimedResponse) -> None:
        """Put the durations until now into a response."""
        now = time.perf_counter_ns()
        load, queue = self._phases.get(b"load", 0), self._phases.get(b"queue", 0)
        response.total_duration, response.load_duration = now - self._started, load
        if self._first is None:
            response.eval_duration = self._phases.get(b"infer", 0) or max(now - self._started - load - queue, 0)
        else:
            response.prompt_eval_duration = max(self._first - self._started - load - queue, 0)
            response.eval_duration = now - self._first
