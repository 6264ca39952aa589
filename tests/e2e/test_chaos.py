"""Gateway, manager and workers are killed at random under mixed load: no answer is wrong, and no request hangs.

The seed is printed; CHAOS_SEED repeats a run. The long storm is part of `make e2e`.
"""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.server import RunningServer, eventually, fake_model
from tests.conftest import Models
from tests.support import chaos
from tests.support.external_server import external_command

FAKE = {
    "chat": chaos.chat("fake"),
    "stream": chaos.chat("fake", stream=True),
    "embedding": chaos.embedding("other"),
    "drawing": chaos.drawing("other"),
    "passthrough": chaos.passthrough("external"),
}
REAL = {
    "real chat": chaos.chat("lm", max_tokens=6, temperature=0),
    "real embedding": chaos.embedding("bge"),
}


def fake_entries(folder: Path) -> list[dict[str, Any]]:
    external = {"cmd": external_command(folder), "model_name": "external"}
    return [
        fake_model("fake", step_seconds=0.01),
        fake_model("other", step_seconds=0.01, fork_grandchild="setsid"),
        {"id": "external", "engine": "command", "tasks": ["chat"], "options": external},
    ]


def ride_out(server: RunningServer, kinds: dict[str, chaos.Kind], **storm: Any) -> None:
    """Let a storm pass over a server under load; afterwards everything works again."""
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
    print(f"CHAOS_SEED={seed}")
    load = chaos.Load(server, kinds, seed)
    load.learn()
    with load.clients(len(kinds)):
        blows = chaos.storm(load, **storm)
    print(dict(blows), dict(load.outcomes))
    for name in kinds:
        eventually(f"{name} works again", partial(load.works, name))
    eventually("nothing is left over", lambda: (server.status()["leases"], server.status()["waiting"]) == (0, 0))
    server.close()
    assert server.descendants() == []


@pytest.mark.timeout(600)
def test_a_short_storm(tmp_path: Path) -> None:
    entries = [{**entry, "start_silence": 5, "hang_timeout": 3, "stop_grace": 1} for entry in fake_entries(tmp_path)]
    with RunningServer(tmp_path / "server", entries, resources={"max_wait": 20}) as server:
        ride_out(server, FAKE, least=6, seconds=0, longest_pause=0.6)


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_a_long_storm(tmp_path: Path, models: Models) -> None:
    entries = [
        *fake_entries(tmp_path),
        {"id": "lm", "engine": "transformers_chat", "source": str(models("lm")), "options": {"threads": 1}},
        {"id": "bge", "engine": "sentence_transformers", "source": str(models("bge"))},
    ]
    entries = [{**entry, "start_silence": 20, "hang_timeout": 5, "stop_grace": 1} for entry in entries]
    with RunningServer(tmp_path / "server", entries, resources={"max_wait": 40}, manager={"standby": 1}) as server:
        ride_out(server, FAKE | REAL, least=20, seconds=180, longest_pause=8)
