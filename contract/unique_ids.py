"""Ids that no two things share. Dialects, which are pure otherwise, take theirs from here."""

from __future__ import annotations

import uuid


def unique_id() -> str:
    """A random id of 32 hexadecimal digits."""
    return uuid.uuid4().hex
