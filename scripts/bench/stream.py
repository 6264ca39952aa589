"""The delay that Enginehouse adds to each chunk of a stream, compared with a direct connection."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from scripts.bench import overhead, servers
from scripts.bench.bare import CHUNKS, PAUSE
from scripts.bench.measurement import Goal, Result, Setup, in_turns

_TEXT = f"""
A server sends {CHUNKS} chunks, {PAUSE * 1e3:g} ms apart, each with its time of sending. The delay of a chunk is the
time until the client has read it, directly from the server or through Enginehouse. A chunk is late if it arrives
after the next one was sent.
"""


def measure(setup: Setup) -> Result:
    """The median delay of a chunk, through Enginehouse and directly."""
    port = servers.free_port()
    with ExitStack() as stack:
        server = stack.enter_context(overhead.build_server(setup.folder / "stream"))
        direct = stack.enter_context(servers.running(servers.upstream_command(str(port)), port))
        _delays(server.url)
        contestants = {"enginehouse": lambda: _delays(server.url), "direct": lambda: _delays(direct)}
        delays = in_turns(setup.rounds(5), contestants)
    medians = {name: [statistics.median(delays) for delays in rounds] for name, rounds in delays.items()}
    added = statistics.median(a - b for a, b in zip(medians["enginehouse"], medians["direct"], strict=True))
    late = {name: sum(delay > PAUSE * 1e3 for delays in rounds for delay in delays) for name, rounds in delays.items()}
    more_late = (late["enginehouse"] - late["direct"]) / (CHUNKS * len(delays["enginehouse"]))
    rows = [(name, f"{statistics.median(medians[name]):.2f} ms", str(late[name])) for name in delays]
    goals = [
        Goal("added to each chunk", 0.3, max(0.0, added), " ms"),
        Goal("share of late chunks, minus that of a direct connection", 0.01, max(0.0, more_late)),
    ]
    return Result("A streamed answer", _TEXT, goals, ("path", "median delay of a chunk", "late chunks"), rows)


def _delays(url: str) -> list[float]:
    """Milliseconds between the sending of each chunk and its arrival here."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    headers = {"content-type": "application/json", "authorization": f"Bearer {overhead.KEY}"}
    connection.request("POST", "/v1/chat/completions", json.dumps({**overhead.BODY, "stream": True}), headers)
    response = connection.getresponse()
    delays = []
    while line := response.readline():
        if line.startswith(b"data: ") and line[6:].strip().isdigit():
            delays.append((time.monotonic_ns() - int(line[6:])) / 1e6)
    connection.close()
    assert len(delays) == CHUNKS, f"{len(delays)} of {CHUNKS} chunks arrived"
    return delays
