"""The commands that use a running server: what they print, as text and as JSON, and how they exit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.testbed.server import RunningServer, eventually, fake_model
from tests.support.terminal import EnginehouseCommand


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("command")
    models = [
        {**fake_model("m"), "default": ["ocr"]},
        fake_model("late", load_gate=str(folder / "gate")),
        fake_model("broken", fail_at_load="there are no weights"),
    ]
    with RunningServer(folder, models, gateway={"allow_private": ["127.0.0.0/8"]}) as it:
        yield it


@pytest.fixture(scope="module")
def enginehouse(server: RunningServer) -> EnginehouseCommand:
    return EnginehouseCommand(server.url)


def test_chat_with_a_question_answers_once(enginehouse: EnginehouseCommand) -> None:
    assert enginehouse("run", "m", "hello there").stdout == "hello there\n"
    assert enginehouse("run", "m", text="from a pipe\n").stdout == "from a pipe\n"
    assert enginehouse.json("run", "m", "-O", "max_tokens=1", "two words") == {"text": "two"}


def test_status_shows_who_waits_for_what(server: RunningServer, enginehouse: EnginehouseCommand) -> None:
    waiting = enginehouse.start("run", "late", "hello")
    loading = "loading late for the first time"
    eventually("the request waits", lambda: [wait["message"] for wait in server.status()["waits"]] == [loading])
    page = enginehouse.json("status")
    assert [(wait["model"], wait["message"]) for wait in page["waits"]] == [("late", loading)]
    text = enginehouse("status").stdout
    for words in (loading, "starting", "for models", "1 wait"):
        assert words in text
    (server.folder / "gate").touch()
    assert waiting.communicate()[0] == "hello\n"


def test_load_evict_and_events(server: RunningServer, enginehouse: EnginehouseCommand) -> None:
    seq = server.status()["seq"]
    assert enginehouse("load", "m").stdout == "m is ready.\n"
    assert enginehouse.json("evict", "m", "--force")["evicted"] == ["m#1"]
    assert enginehouse("evict", "m").stdout == "m was not loaded.\n"
    lines = enginehouse("events", "--json", "--since", str(seq), "--count", "2").stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [seq + 1, seq + 2]
    assert "m#1" in enginehouse("events", "--since", str(seq), "-n", "2").stdout


def test_invalid_configuration_shows_everywhere(server: RunningServer, enginehouse: EnginehouseCommand) -> None:
    valid, seq = server.config.read_text(), server.status()["seq"]
    server.config.write_text(valid.replace("engine: fake", "engine: fka", 1))
    assert server.post("/v1/system/reload").status_code == 400
    words = "unknown engine 'fka'"
    assert words in server.status()["configuration"]["error"]
    assert words in " ".join(enginehouse("status").stdout.split())
    assert server.get("/health").json()["configuration_valid"] is False
    assert "configuration_valid 0.0" in server.get("/metrics").text
    assert words in enginehouse("events", "--since", str(seq), "-n", "1").stdout
    assert words in server.log("manager")
    assert server.chat("m").status_code == 200
    server.config.write_text(valid)
    assert server.post("/v1/system/reload").status_code == 200
    assert "invalid" not in enginehouse("status").stdout


def test_logs_come_from_the_server(server: RunningServer, enginehouse: EnginehouseCommand) -> None:
    log = server.home / "logs" / "m.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("a") as file:
        file.write("first\nsecond\n")
    assert enginehouse("logs", "m", "-n", "1").stdout == "second\n"
    following = enginehouse.start("logs", "m", "-f", "-n", "1")
    assert following.stdout is not None
    assert following.stdout.readline() == "second\n"
    with log.open("a") as file:
        file.write("third\n")
    assert following.stdout.readline() == "third\n"
    log.write_text("new\n")  # rotated
    assert following.stdout.readline() == "new\n"
    following.terminate()
    following.communicate()
    assert enginehouse("logs", "m", "-s", "NEW").stdout == "new\n"
    assert enginehouse("logs", "m", "-s", "old").stdout == ""
    assert "no model 'nope'" in enginehouse("logs", "nope").stderr


def test_lists_models(enginehouse: EnginehouseCommand) -> None:
    assert [model["id"] for model in enginehouse.json("models")] == ["m", "late", "broken"]
    assert "sam3" in enginehouse("models", "--all", "segment").stdout
    assert "source: facebook/sam3" in enginehouse("models", "sam3").stdout
    assert "Did you mean" in enginehouse("models", "sam33").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "nope", "hello"], 5, "no model 'nope'"),
        (["run", "broken", "hello"], 1, "there are no weights"),
        (["run", "m", "-O", "max_tokens=-7", "hello"], 2, "max_tokens"),
        (["run", "m", "hello", "--task", "depth"], 1, "m does not do depth"),
        (["run", "m", "--task", "dance", "hello"], 1, "Tasks: analyze"),
        (["run", "m", "missing.jpg", "what is this"], 1, "There is no file missing.jpg"),
        (["run", "image-generation", "--task", "image-generation"], 1, "--prompt TEXT"),
        (["--url", "http://127.0.0.1:9", "status"], 3, "enginehouse serve"),
        (["--url", "nonsense", "status"], 1, "not the address of a server"),
        (["dance"], 2, "No such command"),
    ],
)
def test_exit_codes_say_what_went_wrong(
    enginehouse: EnginehouseCommand, arguments: list[str], code: int, words: str
) -> None:
    done = enginehouse(*arguments)
    assert done.returncode == code, done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_errors_are_json_too(enginehouse: EnginehouseCommand) -> None:
    done = enginehouse("evict", "nope", "--json")
    assert (done.returncode, done.stdout) == (5, "")
    assert json.loads(done.stderr)["error"]["code"] == "model_not_found"


def test_jobs_run_later_and_are_waited_for(enginehouse: EnginehouseCommand, tmp_path: Path) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "later then"}]}
    (tmp_path / "request.json").write_text(json.dumps(request))
    job = enginehouse.json("jobs", "submit", "chat", str(tmp_path / "request.json"))
    assert "later then" in enginehouse("jobs", "wait", job["job_id"]).stdout
    assert enginehouse.json("jobs", "show", job["job_id"])["status"] == "completed"
    assert job["job_id"] in enginehouse("jobs", "list", "--status", "completed").stdout
    failed = enginehouse("jobs", "submit", "chat", json.dumps({**request, "model": "broken"}), "--wait")
    assert failed.returncode == 1
    assert "no weights" in failed.stdout
    assert "deleted" in enginehouse("jobs", "cancel", job["job_id"]).stdout
    assert enginehouse("jobs", "show", job["job_id"]).returncode == 5
    assert "not valid JSON" in enginehouse("jobs", "submit", "chat", "{").stderr


def test_batches_and_webhooks_are_shown(server: RunningServer, enginehouse: EnginehouseCommand) -> None:
    assert "There are no batches" in enginehouse("jobs", "batches").stdout
    body = {"model": "m", "messages": [{"role": "user", "content": "a line"}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    with server.client as client:
        file = client.files.create(file=("a.jsonl", json.dumps(line).encode()), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        eventually("it has ended", lambda: client.batches.retrieve(batch.id).status == "completed")
    assert "1 of 1" in enginehouse("jobs", "batches").stdout
    assert enginehouse.json("jobs", "batches")[0]["id"] == batch.id
    assert "is completed" in enginehouse("jobs", "cancel-batch", batch.id).stdout
    assert enginehouse("jobs", "cancel-batch", "batch_none").returncode == 5
    headers = {"x-job-webhook": "http://127.0.0.1:1/hook", "x-job-webhook-secret": f"whsec_{'A' * 43}="}
    job = server.post("/jobs/submit/chat", body, headers=headers).json()["job_id"]
    eventually("it was called", lambda: server.get(f"/jobs/{job}").json()["webhook"]["error"])
    shown = enginehouse("jobs", "show", job).stdout
    assert re.search(r"webhook http://127\.0\.0\.1:1/hook: [1-9] attempt", shown)  # it is called again after 5 s


def test_bench_measures_a_chat_model(enginehouse: EnginehouseCommand) -> None:
    result = enginehouse.json("bench", "m", "-n", "6", "-c", "3", "--max-tokens", "2")
    assert (result["requests"], result["failed"]) == (6, 0)
    assert result["tokens_per_s"] > 0
    assert "tokens/s" in enginehouse("bench", "m", "-n", "1").stdout
    assert "no weights" in enginehouse("bench", "broken", "-n", "1").stderr
