"""Event streams are cut between events, without delaying any."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from contract.asgi.relay import UpstreamError
from gateway.forwarding.event_stream import MAX_EVENT, have_the_last, whole_events


async def pieces(*chunks: bytes, breaks: bool = False, needs_last: bool = False) -> list[bytes]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if breaks:
            raise UpstreamError("it broke", began=True)

    cut: list[bytes] = []
    try:
        async for piece in whole_events(stream(), needs_last=needs_last):
            cut.append(piece)  # noqa: PERF401 - what precedes the break counts, too
    except UpstreamError:
        assert breaks
    return cut


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n\r\n"])
async def test_passes_on_whole_events_at_once(end: bytes) -> None:
    event = b"data: 1" + end
    assert await pieces(event, event * 2) == [event, event * 2]
    assert await pieces(event + b"data: 2", end + b"da", b"ta: 3", breaks=True) == [event, b"data: 2" + end]
    for split in range(1, len(end)):
        assert b"".join(await pieces(b"data: 1" + end[:split], end[split:], breaks=True)) == event


@pytest.mark.parametrize("tail", [b"", b"data: 2", b"\r", b"data: 2\r\n", b"data: 2\r"])
@pytest.mark.parametrize(
    "ends", [(b"\n\n", b"\r\n\r\n"), (b"\r\n\r\n", b"\n\n"), (b"\n\n", b"\n\r\n"), (b"\n\n", b"\r\r")]
)
async def test_ends_of_different_kinds_are_found(ends: tuple[bytes, bytes], tail: bytes) -> None:
    whole = b"data: 0" + ends[0] + b"data: 1" + ends[1]
    assert await pieces(whole + b"d" + tail, breaks=True) == [whole]


async def test_passes_on_the_rest_of_a_complete_stream() -> None:
    assert await pieces(b"data: 1\n\ndata: 2") == [b"data: 1\n\n", b"data: 2"]


async def test_passes_on_a_long_event_in_pieces() -> None:
    long = b"data: " + b"x" * MAX_EVENT
    assert await pieces(long, b"y\n\n") == [long, b"y\n\n"]
    assert await pieces(long, breaks=True) == [long, b"\n\n"]


async def test_drops_half_an_event_before_an_error() -> None:
    assert await pieces(b"data: 1\n\ndata: {", needs_last=True) == [b"data: 1\n\n"]
    assert await pieces(b'data: 1\n\ndata: {"id"\n', needs_last=True) == [b"data: 1\n\n"]
    assert await pieces(b"data: 1\n\ndata: [DONE]", needs_last=True) == [b"data: 1\n\n", b"data: [DONE]"]
    long = b"data: " + b"x" * MAX_EVENT
    assert await pieces(long, b"y", needs_last=True) == [long, b"\n\n"]


def test_recognizes_the_last_event() -> None:
    assert have_the_last(b"data: 1\n\ndata: [DONE]\n\n")
    assert have_the_last(b"data: [DONE]")
    assert have_the_last(b"data: 1\r\rdata:[DONE]\r\r")
    assert have_the_last(b'data: {"error": {"message": "x"}}\n\n')
    assert not have_the_last(b'data: {"content": "data: [DONE]"}\n\n')
    assert have_the_last(b'data: {"choices": [{"delta": {}, "finish_reason":"stop"}]}\n\n')
    assert not have_the_last(b'data: {"choices": [{"delta": {}, "finish_reason":null}]}\n\n')
    assert not have_the_last(b'data: {"content": "\\"finish_reason\\": \\"stop\\""}\n\n')
