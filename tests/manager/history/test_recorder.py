"""The history of a pool: memory by worker, requests, tokens, and starts by phase."""

from __future__ import annotations

from manager.history.recorder import Recorder
from manager.memory.device import GIB
from manager.metrics import count_work
from manager.recent_work import RECENT, RecentWork, WorkCounts
from manager.state.process import LoadFailure
from tests.manager.conftest import Make


def test_memory_is_shown_by_worker_and_by_others(make: Make) -> None:
    harness = make({"a": {"needs": 4}, "b": {"needs": 2}}, {"cpu": 10, "cuda:0": 20})
    recorder = Recorder(harness.pool, harness.monitor, RecentWork())
    recorder.record()
    harness.request("a")
    harness.finish_start("a#1")
    harness.meter.used_by_others = GIB
    harness.run(harness.monitor.sample(harness.supervisor.workers))
    harness.call(recorder.record)
    page = recorder.history()
    cpu, gpu = page.devices
    assert (cpu.id, cpu.total, cpu.used, cpu.foreign) == ("cpu", 10 * GIB, [0, 5 * GIB], [0, GIB])
    assert [(memory.worker, memory.first, memory.bytes) for memory in cpu.workers] == [("a#1", 1, [4 * GIB])]
    assert (gpu.used, gpu.workers) == ([0, GIB], [])
    assert page.running == [0, 1]
    assert recorder.history(since=page.times[-1]).times == []


def test_a_worker_that_was_not_measured_leaves_a_gap(make: Make) -> None:
    harness = make({"a": {"needs": 4}})
    recorder = Recorder(harness.pool, harness.monitor, RecentWork())
    harness.request("a")
    harness.finish_start("a#1")
    for measured in (7, 0, 9):
        harness.supervisor.workers[0].measured = measured
        recorder.record()
    assert recorder.history().devices[0].workers[0].bytes == [7, None, 9]


def test_work_counts_once_and_rates_are_per_model(make: Make) -> None:
    harness = make({"a": {"needs": 4}})
    work = RecentWork()
    recorder = Recorder(harness.pool, harness.monitor, work)
    work.count("a", WorkCounts(tokens=30, images=2))
    work.count_request("a", succeeded=True)
    work.count_request("b", succeeded=False)
    recorder.record()
    recorder.record()
    page = recorder.history()
    assert (page.tokens, page.images, page.requests, page.failed) == ([30, 0], [2, 0], [1, 0], [1, 0])
    rates = {rate.model: rate for rate in page.models}
    assert rates["a"].tokens > 0
    assert rates["b"].tokens == 0
    recorder.record()
    assert recorder.history().models == [], "an average over the last points, not over the hour"


def test_reports_of_workers_are_counted() -> None:
    RECENT.take()
    count_work("counted", {"steps": {"1": 3, "4": 2}, "tokens": {"read": 7, "reused": 5}, "images": 6})
    total, models = RECENT.take()
    assert total == models["counted"] == WorkCounts(tokens=11, prompt_tokens=7, images=6)


def test_starts_are_kept_with_their_errors(make: Make) -> None:
    harness = make({"a": {"needs": 4}})
    RECENT.starts.clear()
    harness.request("a")
    harness.finish_start("a#1", LoadFailure("there are no weights", certain=True))
    assert [(start.worker, start.error) for start in RECENT.starts] == [("a#1", "there are no weights")]
