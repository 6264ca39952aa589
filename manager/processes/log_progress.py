"""Decides whether new lines in a log are a sign of progress, or only traces of our own health probes."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

_LONGEST_READ = 64 << 10
_REMEMBERED = 500
_VARIABLE = re.compile(
    rb"\d{4}-\d\d-\d\d|\d\d[/-]\w{2,3}[/-]\d{2,4}|\d\d?:\d\d:\d\d(?:[.,]\d+)?"  # dates and times
    rb"|0x[0-9a-f]+|127\.0\.0\.1(?:[:,) ]+\d+)?",  # addresses, and the port of the probe's connection
    re.IGNORECASE,
)


class LogProgress:
    """Watches a log from its first byte. Lines that name `probe`, the path of our health probe, are no progress.

    Nor are repetitions of earlier lines, such as the traceback of an error that each probe causes. A line that counts
    something up is progress: it may be the only sign of a server that works elsewhere, such as in a container.
    """

    def __init__(self, path: Path | None, probe: str) -> None:
        self._path = path
        self._probe = probe.encode()
        self._read = 0
        self._rest = b""
        self._earlier: deque[bytes] = deque(maxlen=_REMEMBERED)
        self.lines = 0
        """Lines that were progress."""

    def update(self) -> int:
        """Read what is new. Returns `lines`."""
        for line in self._new_lines():
            plain = _VARIABLE.sub(b"", line).strip()
            if self._probe in line or plain in self._earlier:
                continue
            self._earlier.append(plain)
            self.lines += 1
        return self.lines

    def _new_lines(self) -> list[bytes]:
        try:
            size = self._path.stat().st_size if self._path else 0
            if self._path is None or size == self._read:
                return []
            start = self._read if size > self._read else 0  # a smaller log was rotated
            with self._path.open("rb") as log:
                log.seek(max(start, size - _LONGEST_READ))
                content = log.read(_LONGEST_READ)
        except OSError:
            return []
        self._read = size
        *lines, rest = (self._rest + content).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[-_LONGEST_READ:]
        return [line for line in lines if line]
