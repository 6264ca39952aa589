"""Streams a stored response: all events of one that has ended, those of one in the background as it goes on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

from contract.asgi.event_streams import event_stream
from contract.errors import NotFound
from contract.server_events import server_event
from gateway.dialects.responses.replay import events_of
from gateway.responses.background import BackgroundResponses
from gateway.responses.store import ResponseStore, StoredResponse

_INTERVAL = 0.5
"""Seconds between two looks at a response that has not ended."""
_PULSE = 10.0
"""Seconds after which a comment says that the stream is alive."""


def stream_of(
    stored: StoredResponse, store: ResponseStore, background: BackgroundResponses, after: int = -1
) -> StreamingResponse:
    """A stream of the events of a response that follow the one with the sequence number `after`."""
    return event_stream(_events(stored, store, background, after))


async def _events(
    stored: StoredResponse, store: ResponseStore, background: BackgroundResponses, last: int
) -> AsyncIterator[bytes]:
    sent_at = time.monotonic()
    while True:
        stored = await background.current(stored)
        for event in events_of(stored.response):
            if event["sequence_number"] > last:
                last, sent_at = event["sequence_number"], time.monotonic()
                yield server_event(json.dumps(event, ensure_ascii=False).encode(), event["type"])
        if stored.job is None:
            return
        if time.monotonic() > sent_at + _PULSE:
            yield b": still here\n\n"
            sent_at = time.monotonic()
        await asyncio.sleep(_INTERVAL)
        try:
            stored = await store.get(stored.owner, stored.id)
        except NotFound:
            return  # its owner has deleted it
