"""Which type a body has, for APIs whose servers take JSON whatever its Content-Type says.

`curl -d` says that it sends a form, and some clients say nothing. Requests of web pages of other origins, which could
send such bodies without asking first, are refused before, by their `Origin`.
"""

from __future__ import annotations

from functools import cache

from gateway.dialects import all_dialects

_UNCLEAR = frozenset({"", "application/x-www-form-urlencoded"})


def content_type_at(path: str, sent: str) -> str:
    """The type of a body that was sent to a dialect's path with this header."""
    unclear = sent.partition(";")[0].strip().lower() in _UNCLEAR
    return "application/json" if unclear and path in _tolerant_paths() else sent


@cache
def _tolerant_paths() -> frozenset[str]:
    dialects = (dialect for dialect in all_dialects().values() if dialect.json_of_any_type)
    return frozenset(path for dialect in dialects for path in dialect.paths)
