"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from command.places import Places
from contract.config import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: `about` is what was checked, `remedy` what puts it right."""

    about: str
    verdict: Literal["fine", "warning", "problem"]
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the checks look at."""

    places: Places
    settings: Settings
    environ: Mapping[str, str]


def fine(about: str, message: str) -> Finding:
    """Nothing to do."""
    return Finding(about, "fine", message)


def warning(about: str, message: str, remedy: str = "") -> Finding:
    """It works, but not as well as it could."""
    return Finding(about, "warning", message, remedy)


def problem(about: str, message: str, remedy: str = "") -> Finding:
    """It does not work."""
    return Finding(about, "problem", message, remedy)
