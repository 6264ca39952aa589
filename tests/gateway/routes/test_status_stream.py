"""The status as a stream: whole, then changes, with one look at the manager for all clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from contract.errors import ManagerUnreachable
from gateway.routes.status_stream import StatusStream
from tests.support.gateway_processes import GatewayProcess

FIRST: dict[str, Any] = {
    "uptime": 1,
    "workers": [],
    "models": [{"id": "a", "state": "stopped"}, {"id": "b", "state": "stopped"}],
}
STARTED = {**FIRST, "uptime": 2, "models": [FIRST["models"][0], {"id": "b", "state": "ready"}]}
ADDED = {**STARTED, "models": [{"id": "a", "state": "stopped"}]}


class Looks:
    """Answers looks one after the other, each once it is allowed, and counts them."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.count = 0
        self.allowed = asyncio.Semaphore(0)

    async def __call__(self) -> dict[str, Any]:
        await self.allowed.acquire()
        self.count += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


async def next_event(events: AsyncIterator[bytes]) -> tuple[str, Any]:
    async for block in events:
        if not block.startswith(b":"):
            name, data = block.decode().splitlines()[:2]
            return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))
    raise AssertionError("the stream has ended")


async def test_sends_the_whole_status_then_what_has_changed() -> None:
    looks = Looks(FIRST, FIRST, STARTED, ADDED)
    events = StatusStream(looks, interval=0).events()
    looks.allowed.release()
    assert await next_event(events) == ("status", FIRST)
    looks.allowed.release()  # this look finds no change, so no event follows
    looks.allowed.release()
    assert await next_event(events) == ("change", {"uptime": 2, "models": [STARTED["models"][1]]})
    looks.allowed.release()
    assert await next_event(events) == ("status", ADDED)
    await events.aclose()


async def test_failing_look_becomes_an_event_and_the_next_one_is_whole() -> None:
    looks = Looks(FIRST, ManagerUnreachable("gone"), STARTED)
    events = StatusStream(looks, interval=0).events()
    looks.allowed.release()
    assert await next_event(events) == ("status", FIRST)
    looks.allowed.release()
    name, data = await next_event(events)
    assert (name, data["error"]["message"]) == ("error", "gone")
    looks.allowed.release()
    assert await next_event(events) == ("status", STARTED)
    await events.aclose()


async def test_followers_share_the_looks_which_end_with_the_last() -> None:
    looks = Looks(FIRST)
    stream = StatusStream(looks, interval=0)
    both = [stream.events(), stream.events()]
    looks.allowed.release()
    assert [await next_event(events) for events in both] == [("status", FIRST)] * 2
    assert looks.count == 1
    for events in both:
        await events.aclose()
    looks.allowed.release()
    await asyncio.sleep(0)
    assert looks.count == 1


def test_status_is_a_stream_for_those_that_accept_events(gateway: GatewayProcess) -> None:
    with gateway.http.stream("GET", "/v1/system/status", headers={"accept": "text/event-stream"}) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("event")) == "event: status"
        streamed = json.loads(next(lines).removeprefix("data: "))
    assert streamed.keys() == gateway.http.get("/v1/system/status").json().keys()
    assert streamed["jobs"].keys() >= {"queued", "running"}
