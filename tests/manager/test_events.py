"""The log of events: who watches it, and what becomes of them at the end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from contract.errors import InvalidField
from manager.app import ControlRoutes
from manager.events import EventLog


async def test_streams_end_when_the_log_is_closed_and_who_waits_for_the_next_event_does_not_spin() -> None:
    events = EventLog()
    watching = asyncio.create_task(anext(events.since(0), None))
    await asyncio.sleep(0)
    events.close()
    assert await asyncio.wait_for(watching, 1) is None
    waiting = asyncio.create_task(events.next(pulse=60))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.05)
    events.add("state")
    await asyncio.wait_for(waiting, 1)


@pytest.mark.parametrize("since", ["abc", "-1", ""])
async def test_a_wrong_number_is_the_askers_fault(since: str) -> None:
    house: Any = SimpleNamespace(events=EventLog())
    request = Request({"type": "http", "query_string": f"since={since}".encode(), "headers": []})
    with pytest.raises(InvalidField):
        await ControlRoutes(house, 0).events(request)
