"""The way through in a real house, where it is narrow: ids of any alphabet, and bodies that are still on their way."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from scripts.testbed.server import House, eventually, fake, later


def test_an_id_may_be_in_any_alphabet(tmp_path: Path) -> None:
    with House(tmp_path, [fake("modèle-模型")]) as house:
        assert house.chat("modèle-模型").status_code == 200
        assert house.post("/v1/system/evict/modèle-模型").json()["evicted"] == ["modèle-模型#1"]


def test_a_worker_that_dies_while_it_is_sent_a_body_loses_no_request(tmp_path: Path) -> None:
    with House(tmp_path, [fake()]) as house:
        assert house.chat("m").status_code == 200
        (worker,) = house.workers()
        os.kill(worker["pid"], signal.SIGSTOP)  # takes no more than fits into the connection
        answer = later(house.chat, "m", junk="x" * 20_000_000)
        eventually("the body is on its way", lambda: house.workers()[0]["leases"] == 1)
        psutil.Process(worker["pid"]).kill()
        assert answer.result(60).status_code == 200
        assert [(w["worker"], w["leases"]) for w in house.workers()] == [("m#2", 0)]
