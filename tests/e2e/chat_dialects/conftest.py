"""One server for the clients of all chat dialects: an agent that reads images and thinks, and fakes with faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.server import RunningServer, fake_model
from tests.support import agent_model


@dataclass(frozen=True)
class DialectServer:
    """The server, and the folder in which its model `slow` notes what it works on."""

    running: RunningServer
    started: Path


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DialectServer]:
    started = tmp_path_factory.mktemp("started")
    agent: dict[str, Any] = {
        "id": "agent",
        "engine": "transformers_chat",
        "aliases": ["vlm-best"],
        "source": str(agent_model.build(tmp_path_factory.mktemp("agent"), vision=True)),
        "options": {"threads": 1},
        "defaults": {"max_tokens": 500},
    }
    dies = fake_model("dies", crash_mid_answer=True, crash_gate=str(started / "crash"))
    slow = fake_model("slow", step_seconds=0.05, started_dir=str(started))
    full = fake_model("full", load_gate=str(started / "never"), max_queue=1)
    short = {**agent, "id": "short", "aliases": [], "options": {"threads": 1, "context": 600}}
    entries = [agent, short, {**fake_model("echo"), "default": ["chat", "embeddings"]}, dies, slow, full]
    with RunningServer(tmp_path_factory.mktemp("dialects"), entries) as running:
        yield DialectServer(running, started)
