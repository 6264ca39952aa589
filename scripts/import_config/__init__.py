"""Turns other servers' configurations and lists of models into a config.yaml of Enginehouse."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]
"""Takes a sentence about something that could not be carried over."""
