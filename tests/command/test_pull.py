"""Models that come, stay and go by the command and by the client, with a hub on loopback."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from client import AsyncClient, Client, ServerError
from scripts.testbed import hub
from scripts.testbed.server import RunningServer, eventually, fake_model
from tests.support import hub_repositories
from tests.support.terminal import EnginehouseCommand


@dataclass(frozen=True)
class House:
    server: RunningServer
    hub: hub.Hub
    enginehouse: EnginehouseCommand


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("pull")
    names = ("m", "cut", "damaged", "client")
    repositories = hub_repositories.make(folder / "hub", {f"a/{name}": hub_repositories.MODEL for name in names})
    entries = [fake_model("fake"), {"id": "m", "engine": "transformers_chat", "source": "a/m"}]
    with hub.serve(repositories, gated=frozenset({"a/damaged"})) as served, pytest.MonkeyPatch.context() as patch:
        for name, value in hub_repositories.environment(served, folder / "cache").items():
            patch.setenv(name, value)
        with RunningServer(folder / "server", entries) as server:
            yield House(server, served, EnginehouseCommand(server.url))


def test_pull_shows_progress_and_survives_ctrl_c(house: House) -> None:
    house.hub.faults["a/m/model.safetensors"] = "stalled"
    watching = house.enginehouse.start("pull", "m", "--json")
    assert watching.stdout is not None
    eventually("it has half", lambda: json.loads(watching.stdout.readline())["bytes"] == 200_000)  # type: ignore[union-attr]
    shown = house.enginehouse("status").stdout
    assert "a/m" in shown
    assert "model.saf" in shown
    watching.send_signal(signal.SIGINT)
    _, err = watching.communicate()
    assert (watching.returncode, "goes on" in err) == (130, True)
    again = house.enginehouse.start("pull", "m")
    house.hub.go.set()
    out, err = again.communicate()
    assert (again.returncode, out) == (0, "a/m is here: 0.40 MB.\n"), err
    fetched = [request for request in house.hub.requests if request.endswith("model.safetensors") and "a/m" in request]
    assert sum(request.startswith("GET") for request in fetched) == 1, "both have watched one download"
    assert house.enginehouse.json("models", "m")["downloaded"] is True
    house.hub.faults.clear()


def test_pull_can_be_cancelled_from_elsewhere(house: House) -> None:
    house.hub.go.clear()
    house.hub.faults["a/cut/model.safetensors"] = "stalled"
    watching = house.enginehouse.start("pull", "a/cut")
    eventually("it runs", lambda: house.server.status()["downloads"])
    assert "not downloaded further" in house.enginehouse("pull", "a/cut", "--cancel").stdout
    _, err = watching.communicate()
    assert (watching.returncode, "was cancelled" in err) == (1, True), err
    assert "No download of a/cut runs" in house.enginehouse("pull", "a/cut", "--cancel").stderr
    house.hub.go.set()
    house.hub.faults.clear()


def test_pull_says_what_is_wrong(house: House) -> None:
    refused = house.enginehouse("pull", "a/damaged")
    assert refused.returncode == 1
    assert "No token is set" in refused.stderr
    error = json.loads(house.enginehouse("pull", "a/damaged", "--json").stderr)["error"]
    assert error["code"] == "model_gated"
    assert house.enginehouse("pull", "nothing-like-this").returncode == 2


def test_models_are_added_and_removed(house: House, tmp_path: Path) -> None:
    enginehouse = house.enginehouse
    (tmp_path / "entry.yaml").write_text("- id: added   # mine\n  engine: fake\n")
    assert "added is added" in enginehouse("add", str(tmp_path / "entry.yaml"), "-s", "idle_timeout=60").stdout
    assert enginehouse("run", "added", "hello").stdout == "hello\n"
    refused = enginehouse("rm", "added", "--entry")
    assert (refused.returncode, "in use" in refused.stderr) == (1, True)
    enginehouse("evict", "added")
    assert "The entry of added is removed." in enginehouse("rm", "added", "--entry", "--keep-files").stdout
    assert enginehouse("run", "added", "hello").returncode == 5
    assert enginehouse.json("add", "smolvlm", "--set", "id=small")["id"] == "small"
    assert "not in the catalogue" in enginehouse("add", "nothing-like-this").stderr
    assert "nothing" in enginehouse("rm", "small", "--keep-files").stderr
    assert enginehouse.json("rm", "m")["freed_bytes"] > 400_000


def test_pinned_model_is_marked(house: House) -> None:
    assert "fake is pinned" in house.enginehouse("pin", "fake").stdout
    assert "pinned" in house.enginehouse("status").stdout
    assert house.enginehouse.json("unpin", "fake") == {"model": "fake", "pinned": False}
    assert "pinned" not in house.enginehouse("status").stdout


async def test_clients_do_the_same(house: House) -> None:
    with Client(house.server.url) as client:
        reports = list(client.pull("a/client"))
        assert (reports[-1].state, reports[-1].bytes, reports[-1].failure) == ("done", 400_000, None)
        assert reports[-1].id in {report.id for report in client.downloads()}
        added = client.add_model({"id": "c", "engine": "transformers_chat", "source": "a/client"}, idle_timeout=9)
        assert (added.id, client.known_model("c").downloaded) == ("c", True)
        assert client.pin("c") == client.unpin("c") == "c"
        assert client.load("fake") == "fake"
    async with AsyncClient(house.server.url) as other:
        removed = await other.remove_model("c", entry=True)
        assert (removed.entry, removed.freed_bytes > 400_000, removed.kept) == (True, True, None)
        reports = [report async for report in other.pull("a/damaged")]
        assert (reports[-1].state, reports[-1].failure and reports[-1].failure.code) == ("failed", "model_gated")
        with pytest.raises(ServerError, match="no files"):
            await other.remove_model("a/client")


async def test_jobs_are_followed_to_their_end(house: House) -> None:
    body = {"model": "fake", "messages": [{"role": "user", "content": "later"}]}
    async with AsyncClient(house.server.url) as client:
        job = await client.submit_job("chat", body)
        reports = [report async for report in client.follow_job(job.job_id)]
        assert reports[-1].status == "completed"
    assert "later" in house.enginehouse("jobs", "wait", job.job_id).stdout
