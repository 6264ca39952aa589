"""Two gateways that share their jobs in PostgreSQL: whichever is killed, the other goes on with them."""

from __future__ import annotations

import importlib.util
import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.server import RunningServer, eventually, fake_model
from tests.e2e.test_jobs import JOBS, KILLS, chat, content, drawing, ends, more_have_ended, submit
from tests.support.postgres import PostgresServer, programs, run_postgres

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        programs() is None or importlib.util.find_spec("psycopg") is None,
        reason="PostgreSQL or psycopg is not installed",
    ),
]


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    with run_postgres() as server:
        yield server


@pytest.fixture
def gateways(tmp_path: Path, database: PostgresServer) -> Iterator[list[RunningServer]]:
    """A whole server, and another gateway of the same manager."""
    jobs = {"database": database.url, "folder": str(tmp_path / "shared"), "max_running": 1}
    entries = models(2)
    with RunningServer(tmp_path / "first", entries, jobs=jobs) as first:
        port = int((first.home / "manager" / "address").read_text().strip().rpartition(":")[2])
        token = (first.home / "manager" / "token").read_text().strip()
        second = RunningServer(tmp_path / "second", entries, jobs=jobs, manager={"port": port, "token": token})
        try:
            start(second)
            yield [first, second]
        finally:
            second.close()


def models(seconds: float) -> list[dict[str, Any]]:
    """A painter and a speaker with steps of this length, whose answers do not depend on it."""
    return [fake_model(name, step_seconds=seconds) for name in ("painter", "speaker")]


def start(server: RunningServer) -> None:
    server.start("gateway")
    eventually("the gateway is ready", lambda: server.get("/ready").status_code == 200)


def test_jobs_survive_ten_kills_of_either_gateway(gateways: list[RunningServer]) -> None:
    ids = [submit(gateways[number // 2 % 2], number) for number in range(JOBS)]
    first_seen: dict[str, str] = {}
    for kill in range(KILLS):
        victim, other = gateways[kill % 2], gateways[(kill + 1) % 2]
        eventually("another job has ended", partial(more_have_ended, other, len(first_seen)))
        first_seen |= ends(other)
        assert kill == KILLS - 1 or len(first_seen) < JOBS, "jobs must be left to be disturbed"
        victim.stop("gateway", signal.SIGKILL)
        eventually("the other one goes on", partial(more_have_ended, other, len(first_seen)))
        start(victim)
    eventually("all jobs have ended", lambda: len(ends(gateways[0])) == JOBS)
    assert first_seen.items() <= ends(gateways[1]).items(), "a job that has ended does not end again"
    assert ids == [submit(gateways[number % 2], number) for number in range(JOBS)], "the same keys submit nothing new"
    gateways[0].write_config(models(0))
    assert gateways[0].post("/v1/system/reload").status_code == 200  # so that the answers to compare with come at once
    for number, id_ in enumerate(ids):
        result = gateways[number % 2].get(f"/jobs/{id_}").json()["result"]
        path, body = (
            ("/v1/chat/completions", chat(number)) if number % 2 else ("/v1/images/generations", drawing(number))
        )
        assert content(number % 2, result) == content(number % 2, gateways[0].post(path, body).json())


def test_either_gateway_serves_jobs_files_and_batches(gateways: list[RunningServer], database: PostgresServer) -> None:
    first, second = gateways
    first.write_config(models(0.1))  # 40 answers follow each other
    assert first.post("/v1/system/reload").status_code == 200
    ids = [submit(first, number) for number in (0, 2)]
    eventually("it runs", lambda: second.get(f"/jobs/{ids[0]}").json()["status"] == "running")
    lines = [
        {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": chat(number)}
        for number in range(40)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with first.client as one, second.client as two:
        file = one.files.create(file=("a.jsonl", text), purpose="batch")
        assert two.files.content(file.id).read() == text
        batch = two.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="1h")
        database.stop()
        database.start()  # both connect again
        eventually("the batch has ended", lambda: one.batches.retrieve(batch.id).status == "completed")
        output = one.batches.retrieve(batch.id).output_file_id
        assert output
        answers = [json.loads(line) for line in two.files.content(output).text.splitlines()]
    assert [answer["custom_id"] for answer in answers] == [line["custom_id"] for line in lines]
    second.get(f"/jobs/{ids[1]}")
    eventually("all jobs have ended", lambda: set(ends(second)) == set(ids))
