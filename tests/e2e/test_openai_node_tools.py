"""Tools and parsed answers with OpenAI's Node SDK, against a real engine whose model says a script."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from scripts.testbed.server import RunningServer
from tests.support import agent_model
from tests.support.agent_model import ANSWER, CITY, FORECAST, THOUGHTS
from tests.support.client_environments import NEEDS_NODE, node_folder_with_packages

FOLDER = Path(__file__).parent / "node"


@pytest.mark.skipif(NEEDS_NODE, reason="node and npm are not on this machine; install nodejs to test with the Node SDK")
def test_node_sdk_runs_tools_and_parses(tmp_path: Path) -> None:
    source = agent_model.build(tmp_path / "model")
    entry = {"id": "agent", "engine": "mlx", "source": str(source)}
    with RunningServer(tmp_path / "house", [entry]) as server:
        command = ["node", "tools.mjs", f"{server.url}/v1"]
        folder = node_folder_with_packages(FOLDER)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "agent": ANSWER,
        "streamed": ANSWER,
        "calls": {"done": ["get_weather"], "parsed": {"city": CITY}, "thoughts": THOUGHTS},
        "parsed": FORECAST,
        "streamed_parsed": FORECAST,
        "required": FORECAST,
        "cities": [CITY] * 2,
    }
