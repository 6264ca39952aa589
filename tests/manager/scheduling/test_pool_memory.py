"""What is learned of a model's memory never bars it for good, and a refusal names every limit."""

from __future__ import annotations

import pytest

from contract.errors import NeverFits
from contract.status import State
from manager.memory.device import GIB
from manager.memory.monitor import MemoryMonitor
from manager.state.worker import Worker
from tests.manager.conftest import Make
from tests.support.virtual_clock import Harness


def key(harness: Harness, model: str) -> str:
    spec = harness.pool.models[model].spec
    return harness.monitor.footprints.key(spec, "float32", "cpu")


def test_a_peak_above_the_budget_does_not_bar_a_model(make: Make) -> None:
    harness = make({"a": {"needs": 3}})
    harness.monitor.footprints.learn(key(harness, "a"), 21 * GIB)
    request = harness.request("a")
    assert request.error is None
    assert harness.states() == {"a#1": State.STARTING}


def test_a_failed_requests_peak_is_not_learned(make: Make) -> None:
    harness = make({"a": {"needs": 3}})
    harness.request("a")
    harness.finish_start("a#1")
    worker = harness.supervisor.worker("a#1")
    grow(harness.monitor, worker, 4)
    harness.requests[0].disconnect()
    assert harness.monitor.footprints.learned(key(harness, "a")) == 3 * GIB
    harness.request("a")
    grow(harness.monitor, worker, 4)
    harness.requests[1].finish()
    assert harness.monitor.footprints.learned(key(harness, "a")) == 4 * GIB


def test_loading_is_measured_before_the_first_request(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = make({"a": {"needs": 3}})
    leases = []
    learn = harness.monitor._learn
    monkeypatch.setattr(harness.monitor, "_learn", lambda worker: (leases.append(worker.leases), learn(worker)))
    request = harness.request("a")
    harness.finish_start("a#1")
    assert request.error is None
    assert (leases, harness.supervisor.worker("a#1").loaded_bytes) == ([0], 3 * GIB)


def test_a_worker_that_cannot_be_measured_serves(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(worker: Worker) -> None:
        raise OSError("no more descriptors")

    harness = make({"a": {"needs": 3}})
    monkeypatch.setattr(harness.monitor, "_learn", fail)
    harness.request("a")
    harness.finish_start("a#1")
    assert harness.states() == {"a#1": State.READY}
    assert harness.supervisor.worker("a#1").leases == 1


def test_what_a_failed_request_left_behind_is_not_learned(make: Make) -> None:
    harness = make({"a": {"needs": 3}})
    harness.request("a")
    harness.finish_start("a#1")
    worker = harness.supervisor.worker("a#1")
    grow(harness.monitor, worker, 6)
    harness.requests[0].disconnect()
    grow(harness.monitor, worker, 5)  # idle, and the library keeps what it has allocated
    assert harness.monitor.footprints.learned(key(harness, "a")) == 3 * GIB
    harness.request("a")
    grow(harness.monitor, worker, 6)
    harness.requests[1].finish()
    assert harness.monitor.footprints.learned(key(harness, "a")) == 4 * GIB
    grow(harness.monitor, worker, 5)
    assert harness.monitor.footprints.learned(key(harness, "a")) == 4 * GIB
    assert worker.residue == GIB


def grow(monitor: MemoryMonitor, worker: Worker, gib: int) -> None:
    worker.measured = gib * GIB
    worker.loaded_bytes = 3 * GIB
    monitor._learn(worker)


def test_a_refusal_names_every_limit_with_numbers_that_agree(make: Make) -> None:
    harness = make({"pet": {"needs": 4, "pinned": True}, "a": {"needs": 7}})
    harness.request("pet")
    harness.finish_start("pet#1")
    error = harness.request("a").error
    assert isinstance(error, NeverFits)
    assert error.message.startswith(
        "a needs 7.00 GiB to load, and at most 6.00 GiB can be made available on cpu: "
        "10.00 GiB in all less 4.00 GiB of the pinned model pet."
    )
    assert error.details["available_bytes"] == {"cpu": 6 * GIB}
    assert error.details["ceilings"][0]["pinned"] == {"pet": 4 * GIB}
