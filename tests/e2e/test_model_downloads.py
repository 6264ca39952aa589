"""Requests for models that are not on this machine, and orders to download them, with a hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

import client
from contract.status import Status
from scripts.control import status_report
from scripts.testbed import hub
from scripts.testbed.server import RunningServer, eventually
from tests.conftest import Models
from tests.support import hub_repositories
from tests.support.doc_examples import blocks, run_example


@dataclass(frozen=True)
class Setting:
    server: RunningServer
    hub: hub.Hub

    def row(self, id_: str) -> dict[str, Any]:
        row: dict[str, Any] = self.server.get(f"/api/models/{id_}").json()
        return row


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Iterator[Setting]:
    """A server with three models that it does not have."""
    folder = tmp_path_factory.mktemp("downloads")
    names = ("a/other", "a/gated", "a/late", "a/token")
    others = hub_repositories.make(folder / "hub", dict.fromkeys(names, hub_repositories.MODEL))
    entries = [
        {"id": "lm", "engine": "transformers_chat", "source": "a/lm"},
        {"id": "manual", "engine": "transformers_chat", "source": "a/other", "auto_download": False},
        {"id": "gated", "engine": "transformers_chat", "source": "a/gated"},
        {"id": "missing", "engine": "transformers_chat", "source": "/no/such/folder"},
        {"id": "unknown", "engine": "transformers_chat", "source": "a/nothing"},
        {"id": "late-gated", "engine": "transformers_chat", "source": "a/late"},
        {"id": "late-unknown", "engine": "transformers_chat", "source": "a/later"},
        {"id": "expired", "engine": "transformers_chat", "source": "a/token", "env": {"HF_TOKEN": hub.EXPIRED}},
    ]
    folders = {"a/lm": models("lm"), "HuggingFaceTB/SmolVLM-500M-Instruct": models("lm"), **others}
    with hub.serve(folders, gated=frozenset({"a/gated", "a/late"})) as served, pytest.MonkeyPatch.context() as patch:
        for name, value in hub_repositories.environment(served, folder / "cache").items():
            patch.setenv(name, value)
        with RunningServer(folder / "server", entries, gateway={"stream_wait": 0.2}) as server:
            yield Setting(server, served)


def test_request_starts_the_download_and_a_stream_waits(setting: Setting) -> None:
    server, served = setting.server, setting.hub
    served.faults["a/lm/model.safetensors"] = "stalled"
    assert (setting.row("lm")["downloaded"], setting.row("lm")["disk_bytes"]) == (False, 0)

    refused = server.chat("lm", max_tokens=3)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (503, "model_downloading"), refused.text
    assert int(refused.headers["retry-after"]) >= 1
    assert error["details"]["download"]["source"] == "a/lm"

    body = {"model": "lm", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3, "stream": True}
    with server.stream("/v1/chat/completions", body, timeout=server.patience) as answer:
        lines = answer.iter_lines()
        sign = next(line for line in lines if " MB" in line)
        assert sign.startswith(": downloading a/lm: "), sign
        assert setting.row("lm")["download"]["state"] == "running"
        _assert_status_tells_how_far(server)
        served.go.set()
        events = [line for line in lines if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]", events
    assert "error" not in events[0]
    assert sum(request.startswith("GET") and request.endswith("model.safetensors") for request in served.requests) == 1
    row = setting.row("lm")
    assert (row["downloaded"], row["partly_downloaded"], row["download"]["state"]) == (True, False, "done")
    assert row["disk_bytes"] > 10_000
    assert server.chat("lm", max_tokens=3).status_code == 200


def _assert_status_tells_how_far(server: RunningServer) -> None:
    model = eventually("the large file arrives", lambda: _arriving(server, "lm"))
    download = model["download"]
    assert (download["phase"], download["source"]) == ("downloading", "a/lm")
    assert 0 < download["bytes"] < download["total"]
    page = Status.model_validate(server.status())
    lines = list(status_report.tables(page))
    assert any(line.startswith("a/lm ") and line.endswith("model.safetensors") for line in lines), lines
    with client.Client(server.url) as connected:
        progress = next(state.download for state in connected.status().models if state.id == "lm")
    assert progress
    assert progress["file"] == "model.safetensors"


def _arriving(server: RunningServer, id_: str) -> dict[str, Any] | None:
    rows = {model["id"]: model for model in server.status()["models"]}
    assert rows["manual"]["download"] is None
    return rows[id_] if (rows[id_]["download"] or {}).get("file") == "model.safetensors" else None


def test_order_streams_progress_to_its_end(setting: Setting) -> None:
    server = setting.server
    refused = server.chat("manual")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_not_downloaded")
    assert refused.headers["x-should-retry"] == "false"

    with server.stream("/api/models/download", {"repo_id": "a/other", "stream": True}) as answer:
        statuses = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    assert (statuses[-1]["state"], statuses[-1]["bytes"], statuses[-1]["total"]) == ("done", 400_000, 400_000)
    assert setting.row("manual")["downloaded"] is True
    listed = server.get("/api/models/downloads").json()["downloads"]
    assert statuses[-1]["id"] in {download["id"] for download in listed}


def test_failed_download_can_be_polled_and_says_why(setting: Setting) -> None:
    server = setting.server
    started = server.post("/api/models/download", {"model": "gated"})
    assert started.status_code == 202
    status = eventually("it has failed", lambda: _ended(server, started.headers["location"]))
    assert (status["state"], status["error"]["code"]) == ("failed", "model_gated")
    assert "No token is set" in status["error"]["message"]
    refused = server.chat("gated")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_gated")
    assert (refused.headers["x-should-retry"], refused.headers.get("retry-after")) == ("false", None)
    assert setting.row("gated")["downloaded"] is False


@pytest.mark.parametrize(
    ("model", "advice"),
    [("missing", "/no/such/folder does not exist: put the model there"), ("unknown", "correct the entry's `source`")],
)
def test_failure_that_stays_is_not_to_be_retried(setting: Setting, model: str, advice: str) -> None:
    server = setting.server
    if model == "unknown":
        started = server.post("/api/models/download", {"model": model})
        eventually("it has failed", lambda: _ended(server, started.headers["location"]))
    refused = server.chat(model)
    error = refused.json()["error"]
    assert (refused.status_code, error["details"]["permanent"]) == (503, True)
    assert advice in error["message"]
    assert (refused.headers["x-should-retry"], refused.headers.get("retry-after")) == ("false", None)
    assert "Traceback" not in refused.text


def test_sdk_sends_once_what_cannot_succeed(setting: Setting) -> None:
    sent: list[object] = []
    http = openai.DefaultHttpxClient(trust_env=False, event_hooks={"request": [sent.append]})
    with openai.OpenAI(base_url=f"{setting.server.url}/v1", api_key="none", http_client=http) as sdk:
        for model, reason in {
            "late-gated": "is gated",
            "late-unknown": "The hub has no model",
            "expired": "token",
        }.items():
            sent.clear()
            with pytest.raises(openai.APIStatusError, match=reason) as caught:
                sdk.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
            assert "model_downloading" not in str(caught.value)
            assert len(sent) == 1, model


def _ended(server: RunningServer, path: str) -> dict[str, Any] | None:
    status: dict[str, Any] = server.get(path).json()
    return status if status["state"] != "running" else None


@pytest.mark.parametrize(
    ("body", "message"),
    [({"model": "nothing-like-this"}, "There is no model"), ({}, "model"), ({"model": "lm", "extra": 1}, "extra")],
)
def test_wrong_orders_are_explained(setting: Setting, body: dict[str, Any], message: str) -> None:
    refused = setting.server.post("/api/models/download", body)
    assert refused.status_code == 400, refused.text
    assert message in refused.json()["error"]["message"]


def test_unknown_download_is_not_found(setting: Setting) -> None:
    assert setting.server.get("/api/models/downloads/none").status_code == 404


def lines_of(title: str) -> list[str]:
    [block] = [block for block in blocks("docs/models.md") if block.title == title]
    return block.text.splitlines()


def test_examples_of_downloads_in_the_docs_run(setting: Setting, tmp_path: Path) -> None:
    start, look, stream, end = lines_of("Downloads")
    url = setting.server.url
    id_ = json.loads(run_example("bash", start, url, tmp_path))["id"]
    assert json.loads(run_example("bash", look.replace("ID", id_), url, tmp_path))["source"].endswith(
        "SmolVLM-500M-Instruct"
    )
    assert '"state": "done"' in run_example("bash", stream, url, tmp_path).replace('":"', '": "')
    assert json.loads(run_example("bash", end.replace("ID", id_), url, tmp_path))["id"] == id_


def test_examples_of_entries_in_the_docs_run(setting: Setting, tmp_path: Path) -> None:
    answers = [
        json.loads(run_example("bash", line, setting.server.url, tmp_path))
        for line in lines_of("Adding and removing models")
    ]
    assert len(answers) == 6
    assert {"bge", "bge-base", "mine"} & {model["id"] for model in setting.server.status()["models"]} == {"mine"}
