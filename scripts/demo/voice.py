"""How the demonstration speaks on the terminal."""

from __future__ import annotations

import os
import sys

_PLAIN = not sys.stdout.isatty() or "NO_COLOR" in os.environ


def title(text: str) -> None:
    """A new scene."""
    print(f"\n{_styled(text, 1)}", flush=True)


def say(text: str) -> None:
    """What happens in it."""
    print(f"   {text}", flush=True)


def aside(text: str) -> None:
    """What the house says of itself."""
    print(_styled(f"   · {text}", 2), flush=True)


def verdict(text: str, *, good: bool) -> None:
    """Whether something is as it should be."""
    print(f"   {_styled('ok' if good else 'WRONG', 32 if good else 31)}  {text}", flush=True)


def _styled(text: str, code: int) -> str:
    return text if _PLAIN else f"\033[{code}m{text}\033[0m"
