"""Ollama's own client downloads and removes models, from a hub on loopback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.testbed import hub
from scripts.testbed.server import RunningServer, fake_model
from tests.support import hub_repositories
from tests.support.client_environments import python_with
from tests.support.client_packages import PYTHON_CLIENTS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]  # the first run installs the client


@dataclass(frozen=True, slots=True)
class Setting:
    server: RunningServer
    hub: hub.Hub


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    """A server with two models that it does not have; the hub sends half of one, and then waits."""
    names = ("streamed", "whole")
    repositories = hub_repositories.make(tmp_path / "hub", {f"a/{name}": hub_repositories.MODEL for name in names})
    entry = {"engine": "transformers_chat", "auto_download": False}
    entries = [{"id": name, "source": f"a/{name}", **entry} for name in names]
    with hub.serve(repositories) as served, pytest.MonkeyPatch.context() as patch:
        served.faults["a/streamed/model.safetensors"] = "stalled"
        for name, value in hub_repositories.environment(served, tmp_path / "cache").items():
            patch.setenv(name, value)
        with RunningServer(tmp_path / "server", [fake_model("fake"), *entries]) as running:
            yield Setting(running, served)


def test_ollamas_client_pulls_and_deletes(setting: Setting) -> None:
    python = python_with("ollama_client", PYTHON_CLIENTS["ollama_client"])
    script = Path(__file__).parent / "python" / "ollama_models.py"
    with subprocess.Popen([python, script, setting.server.url], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        while int(client.stdout.readline()) < 200_000:  # its bar has not come half of the way
            pass
        setting.hub.go.set()
        printed = client.stdout.read()
    results = json.loads(printed.splitlines()[-1])
    assert "missing" in results.pop("missing")
    assert results == {
        "statuses": ["pulling manifest", "success"],
        "whole": "success",
        "models": ["fake:latest", "streamed:latest", "whole:latest"],
        "deleted": ["success", "success"],
        "again": 404,
        "left": ["fake:latest"],
    }
