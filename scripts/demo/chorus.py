"""Tells along what the house reports of itself: its event stream, read beside the demonstration."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from scripts.demo.voice import aside


@contextmanager
def along(url: str) -> Iterator[None]:
    """Print each change of a worker's state for as long as the enclosed code runs."""
    listening = threading.Event()
    thread = threading.Thread(target=_listen, args=(f"{url}/v1/system/events", listening), daemon=True)
    thread.start()
    listening.wait(10)
    yield


def _listen(url: str, listening: threading.Event) -> None:
    try:
        with httpx2.stream("GET", url, timeout=None, trust_env=False) as response:
            for line in response.iter_lines():
                listening.set()
                if line.startswith("data:"):
                    _tell(json.loads(line[5:]))
    except httpx2.HTTPError:
        return  # the house has closed


def _tell(event: dict[str, Any]) -> None:
    if event.get("type") == "state" and event.get("worker"):
        why = f"  ({event['reason']})" if event.get("reason") else ""
        aside(f"worker {event['worker']}: {event['from']} → {event['to']}{why}")
