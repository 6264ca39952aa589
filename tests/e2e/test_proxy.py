"""Requests between gateway, manager and worker: model ids in any alphabet, workers that die during an upload."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from scripts.testbed.server import PATIENCE, RunningServer, eventually, fake_model, in_background
from tests.support.sockets import more_than_sockets_hold


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    limit = {"max_body_mb": more_than_sockets_hold() / 2**19}
    with RunningServer(
        tmp_path_factory.mktemp("proxy"), [fake_model(), fake_model("modèle-模型")], gateway=limit
    ) as running:
        yield running


def test_model_id_may_be_in_any_alphabet(server: RunningServer) -> None:
    assert server.chat("modèle-模型").status_code == 200
    assert server.post("/v1/system/evict/modèle-模型").json()["evicted"] == ["modèle-模型#1"]


def test_worker_dying_during_upload_loses_no_request(server: RunningServer) -> None:
    assert server.chat("m").status_code == 200
    (worker,) = server.workers()
    os.kill(worker["pid"], signal.SIGSTOP)  # it reads nothing, and the sockets hold a part only
    answer = in_background(server.chat, "m", junk="x" * more_than_sockets_hold())
    eventually("the body is being sent", lambda: server.workers()[0]["leases"] == 1)
    psutil.Process(worker["pid"]).kill()
    assert answer.result(PATIENCE).status_code == 200
    eventually("only m#2 is left, idle", lambda: states(server) == [("m#2", 0)])


def states(server: RunningServer) -> list[tuple[str, int]]:
    """The name and the leases of each worker."""
    return [(worker["worker"], worker["leases"]) for worker in server.workers()]
