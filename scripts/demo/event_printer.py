"""Prints the server's events while the demo runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from scripts.demo import console


@contextmanager
def printing_events(url: str) -> Iterator[None]:
    """Print each change of a worker's state for the length of the block."""
    connected = threading.Event()
    thread = threading.Thread(target=_follow, args=(f"{url}/v1/system/events", connected), daemon=True)
    thread.start()
    connected.wait(60)
    yield


def _follow(url: str, connected: threading.Event) -> None:
    try:
        with httpx2.stream("GET", url, timeout=None, trust_env=False) as response:
            for line in response.iter_lines():
                connected.set()
                if line.startswith("data:"):
                    _print(json.loads(line[5:]))
    except httpx2.HTTPError:
        return  # the server has stopped


def _print(event: dict[str, Any]) -> None:
    if event.get("type") == "state" and event.get("worker"):
        reason = f"  ({event['reason']})" if event.get("reason") else ""
        console.event(f"worker {event['worker']}: {event['from']} → {event['to']}{reason}")
