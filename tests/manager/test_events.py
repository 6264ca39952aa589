"""The event log: streams of events, their end, and the route that serves them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from contract.errors import InvalidField
from manager.app import ControlRoutes
from manager.events import EventLog


async def test_streams_end_when_the_log_is_closed() -> None:
    events = EventLog()
    watching = asyncio.create_task(anext(events.since(0), None))
    await asyncio.sleep(0)
    events.close()
    assert await asyncio.wait_for(watching, 30) is None


async def test_next_returns_after_the_next_event_only() -> None:
    events = EventLog()
    events.close()  # which wakes the readers of this moment, not later ones
    waiting = asyncio.create_task(events.next(pulse=60))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    events.add("state")
    await asyncio.wait_for(waiting, 30)


@pytest.mark.parametrize("since", ["abc", "-1", "", "9" * 5000])
async def test_an_invalid_event_number_is_refused(since: str) -> None:
    runtime: Any = SimpleNamespace(event_log=EventLog())
    proxy: Any = None  # events do not pass through it
    request = Request({"type": "http", "query_string": f"since={since}".encode(), "headers": []})
    with pytest.raises(InvalidField):
        await ControlRoutes(runtime, proxy, 0).events(request)
