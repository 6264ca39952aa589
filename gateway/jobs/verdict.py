"""What follows from how a run of a job ended: its end, or another run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from contract.errors import DeadlinePassed as Waited
from contract.errors import KilledWorkers, LoadFailed, NeverFits, OutOfMemory, ServeError, Unavailable, WorkerDied

_COUNTED = (WorkerDied, LoadFailed, OutOfMemory)
"""Errors that may pass, and of which a job survives only a few."""
_LONGEST_DELAY = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`again`: run it again after `delay` seconds; `counted`: the run counts as one of the job's failures."""

    kind: Literal["completed", "failed", "again"]
    delay: float = 0.0
    counted: bool = False


def judge(error: ServeError | None, failures: int, attempts: int) -> Verdict:
    """The verdict on a run that ended with `error`, or well, of a job that has had `failures` before.

    A request fails that is wrong, whose workers died again and again, or whose model cannot be loaded until something
    is put right. A worker that died in the middle and a model that could not be loaded otherwise are tried again, up to
    `attempts` times. What is no fault of the job, such as a
    manager that restarts, is tried again without end.
    """
    if error is None:
        return Verdict("completed")
    if isinstance(error, NeverFits | KilledWorkers) or (isinstance(error, LoadFailed) and error.is_permanent):
        return Verdict("failed")
    if isinstance(error, _COUNTED):
        if failures + 1 >= attempts:
            return Verdict("failed")
        delay = max(error.retry_after or 0.0, 2.0**failures)
        return Verdict("again", min(delay, _LONGEST_DELAY), counted=True)
    if isinstance(error, Unavailable | Waited):
        return Verdict("again", min(max(error.retry_after or 0.0, 1.0), _LONGEST_DELAY))
    return Verdict("failed")
