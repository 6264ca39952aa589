"""Exit codes, for scripts."""

from __future__ import annotations

from client import ServerError

FAILED = 1
USAGE = 2
UNREACHABLE = 3
FORBIDDEN = 4
NOT_FOUND = 5
TRY_LATER = 6
INTERRUPTED = 130

_BY_STATUS = {
    0: UNREACHABLE, 400: USAGE, 401: FORBIDDEN, 403: FORBIDDEN, 404: NOT_FOUND, 413: USAGE, 415: USAGE, 422: USAGE,
    429: TRY_LATER, 503: TRY_LATER, 504: TRY_LATER,
}  # fmt: skip


_LATER = {
    "unavailable", "queue_full", "model_load_failed", "out_of_memory", "never_fits", "manager_unreachable", "evicted",
    "shutting_down", "deadline_passed",
}  # fmt: skip
"""Codes of errors that end a stream which had begun, while its request waited."""


def exit_code(error: ServerError) -> int:
    """The exit code for an error of the server. One that lasts until something is put right has failed."""
    if error.details.get("permanent") and error.status in {200, 503}:
        return FAILED
    if error.status == 200 and error.code in _LATER:
        return TRY_LATER
    return _BY_STATUS.get(error.status, FAILED)
