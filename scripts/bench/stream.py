"""What the house adds to each chunk of a streamed answer, beside the same stream straight from the server."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from scripts.bench import servers, way
from scripts.bench.bare import CHUNKS, PAUSE
from scripts.bench.measurement import Goal, Result, Setup, in_turns

_TEXT = f"""
A server sends {CHUNKS} chunks, {PAUSE * 1e3:g} ms apart, each with its moment of sending. The delay is the time until
the client has read it, straight from the server and through the house. A chunk that comes together with the one before
it was held back.
"""


def measure(setup: Setup) -> Result:
    """The median delay of a chunk, both ways in turns."""
    port = servers.free_port()
    with ExitStack() as stack:
        server = stack.enter_context(way.server(setup.folder / "stream"))
        direct = stack.enter_context(servers.running(servers.upstream_command(str(port)), port))
        _delays(server.url)
        ways = {"house": lambda: _delays(server.url), "direct": lambda: _delays(direct)}
        seen = in_turns(setup.rounds(5), ways)
    medians = {name: [statistics.median(delays) for delays in rounds] for name, rounds in seen.items()}
    added = statistics.median(a - b for a, b in zip(medians["house"], medians["direct"], strict=True))
    late = {name: sum(delay > PAUSE * 1e3 for delays in rounds for delay in delays) for name, rounds in seen.items()}
    held = (late["house"] - late["direct"]) / (CHUNKS * len(seen["house"]))
    rows = [(name, f"{statistics.median(medians[name]):.2f} ms", str(late[name])) for name in seen]
    goals = [
        Goal("added to each chunk", 0.3, max(0.0, added), " ms"),
        Goal(
            "chunks that came later than the next was sent, beyond those straight from the server", 0.01, max(0.0, held)
        ),
    ]
    return Result("A streamed answer", _TEXT, goals, ("way", "median delay of a chunk", "later than the next"), rows)


def _delays(url: str) -> list[float]:
    """Milliseconds between the sending of each chunk and its arrival here."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    headers = {"content-type": "application/json", "authorization": f"Bearer {way.KEY}"}
    connection.request("POST", "/v1/chat/completions", json.dumps({**way.BODY, "stream": True}), headers)
    response = connection.getresponse()
    delays = []
    while line := response.readline():
        if line.startswith(b"data: ") and line[6:].strip().isdigit():
            delays.append((time.monotonic_ns() - int(line[6:])) / 1e6)
    connection.close()
    assert len(delays) == CHUNKS, f"{len(delays)} of {CHUNKS} chunks came"
    return delays
