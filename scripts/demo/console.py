"""Prints the demo on the terminal: titles, lines, events and checks."""

from __future__ import annotations

import os
import sys

_OUT = sys.stdout
"""Where events and checks go, also while the lines of a step are hidden."""
_PLAIN = not sys.stdout.isatty() or "NO_COLOR" in os.environ


def title(text: str) -> None:
    """The heading of a step."""
    print(f"\n{_styled(text, 1)}", flush=True)


def line(text: str) -> None:
    """A line of a step."""
    print(f"   {text}", flush=True)


def event(text: str) -> None:
    """An event of the server."""
    print(_styled(f"   · {text}", 2), file=_OUT, flush=True)


def check(text: str, *, passed: bool) -> None:
    """The result of a check."""
    print(f"   {_styled('ok' if passed else 'WRONG', 32 if passed else 31)}  {text}", file=_OUT, flush=True)


def _styled(text: str, code: int) -> str:
    return text if _PLAIN else f"\033[{code}m{text}\033[0m"
