"""The section `logs`."""

from __future__ import annotations

from pydantic import Field

from contract.config.fields import Frozen, Megabytes


class LogSettings(Frozen):
    """Limits for each log file: its size in MiB, and how many older ones are kept beside it.

    With `debug`, errors contain the end of the log with its tracebacks.
    """

    max_mb: Megabytes = Field(10, gt=0)
    keep: int = Field(3, ge=0)
    debug: bool = False

    @property
    def max_bytes(self) -> int:
        """Size at which a file is rotated."""
        return int(self.max_mb * 2**20)
