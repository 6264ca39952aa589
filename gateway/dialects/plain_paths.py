"""Paths as clients write them whose base URL ends with a slash."""

from __future__ import annotations

import re

_SLASHES = re.compile("//+")


def single_slashes(path: str) -> str:
    """The path with one slash wherever several follow each other."""
    return _SLASHES.sub("/", path)
