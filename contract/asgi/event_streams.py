"""Answers that are sent piece by piece as it happens: as server-sent events, or in another form without delay."""

from __future__ import annotations

from collections.abc import AsyncIterable

from starlette.responses import StreamingResponse

EVENTS = "text/event-stream"
"""The media type of server-sent events."""
BUFFERING = b"x-accel-buffering"
"""With `no`, nginx does not hold back what is sent. Other proxies have no such header."""

_UNDELAYED = ((b"cache-control", b"no-cache"), (BUFFERING, b"no"))
HEAD = ((b"content-type", f"{EVENTS}; charset=utf-8".encode()), *_UNDELAYED)
"""The headers of a stream of events."""


def event_stream(events: AsyncIterable[bytes]) -> StreamingResponse:
    """A stream of events."""
    return undelayed(events, EVENTS)


def undelayed(pieces: AsyncIterable[bytes], media_type: str) -> StreamingResponse:
    """A stream whose pieces no cache keeps and no proxy holds back."""
    headers = {name.decode(): value.decode() for name, value in _UNDELAYED}
    return StreamingResponse(pieces, media_type=media_type, headers=headers)
