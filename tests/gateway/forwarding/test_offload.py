"""Work on large bodies leaves the event loop free."""

from __future__ import annotations

import asyncio
import threading

from gateway.forwarding.offload import LARGE_BODY, offload


def test_large_bodies_are_handled_in_a_thread() -> None:
    small, large = (asyncio.run(offload(size, threading.get_ident)) for size in (LARGE_BODY, LARGE_BODY + 1))
    assert small == threading.get_ident() != large
