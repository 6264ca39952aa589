"""Numbers for people: memory, shares and times."""

from __future__ import annotations

GIB = 2**30


def gib(count: int | None) -> str:
    """Bytes in GiB, or in MiB below a tenth of one; empty if they are unknown."""
    if count is None:
        return ""
    return f"{count / 2**20:.0f} MiB" if 0 < count < GIB / 10 else f"{count / GIB:.1f} GiB"


def megabytes(count: int | None) -> str:
    """Megabytes, or gigabytes from 1000 on; empty if they are unknown."""
    if count is None:
        return ""
    return f"{count / 1000:.1f} GB" if count >= 1000 else f"{count} MB"


def seconds(count: float | None) -> str:
    """A time as `75 s`, `12 min` or `3 h`; empty if it is unknown."""
    if count is None:
        return ""
    if count < 120:
        return f"{count:.0f} s"
    return f"{count / 60:.0f} min" if count < 7200 else f"{count / 3600:.0f} h"


def file_size(count: int | None) -> str:
    """Bytes of files in MB, or in GB from 1000 MB on, as their labels have them."""
    return "0 MB" if not count else megabytes(round(count / 1e6)) if count >= 1e6 else f"{count / 1e6:.2f} MB"
