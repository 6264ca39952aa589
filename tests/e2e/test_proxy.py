"""Requests between gateway, manager and worker: model ids in any alphabet, workers that die during an upload."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from scripts.testbed.server import RunningServer, eventually, fake_model, in_background
from tests.support.sockets import more_than_sockets_hold


def test_model_id_may_be_in_any_alphabet(tmp_path: Path) -> None:
    with RunningServer(tmp_path, [fake_model("modèle-模型")]) as server:
        assert server.chat("modèle-模型").status_code == 200
        assert server.post("/v1/system/evict/modèle-模型").json()["evicted"] == ["modèle-模型#1"]


def test_worker_dying_during_upload_loses_no_request(tmp_path: Path) -> None:
    size = more_than_sockets_hold()
    with RunningServer(tmp_path, [fake_model()], gateway={"max_body_mb": size / 2**19}) as server:
        assert server.chat("m").status_code == 200
        (worker,) = server.workers()
        os.kill(worker["pid"], signal.SIGSTOP)  # it reads nothing, and the sockets hold a part only
        answer = in_background(server.chat, "m", junk="x" * size)
        eventually("the body is being sent", lambda: server.workers()[0]["leases"] == 1)
        psutil.Process(worker["pid"]).kill()
        assert answer.result(60).status_code == 200
        assert [(w["worker"], w["leases"]) for w in server.workers()] == [("m#2", 0)]
