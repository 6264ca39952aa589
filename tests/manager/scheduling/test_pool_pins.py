"""Models that are pinned at run time, and models whose files are downloaded first, over the virtual clock."""

from __future__ import annotations

import asyncio

from contract.status import State
from manager.scheduling.missing_files import WhileWaiting
from tests.manager.conftest import Make


def test_pinned_model_stays_until_it_is_unpinned(make: Make) -> None:
    harness = make({"a": {"needs": 10}, "b": {"needs": 10}}, max_wait=100)
    used = harness.request("a")
    harness.finish_start("a#1")
    used.finish()
    harness.call(harness.pool.pin, harness.pool.models["a"], True)
    refused = harness.request("b")
    harness.loop.advance(90)
    assert harness.states() == {"a#1": State.READY}, "neither idleness nor b ends it"
    assert "10.00 GiB of the pinned model a" in str(refused.error)
    harness.call(harness.pool.pin, harness.pool.models["a"], False)
    other = harness.request("b")
    assert harness.states() == {"a#1": State.STOPPING}
    harness.finish_stop("a#1")
    harness.finish_start("b#1")
    assert other.in_progress


def test_pin_holds_for_later_workers_and_a_changed_entry(make: Make) -> None:
    harness = make({"a": {"needs": 10}})
    harness.call(harness.pool.pin, harness.pool.models["a"], True)
    changed = make({"a": {"needs": 10, "max_queue": 3}}).pool.models
    assert harness.reload(changed) == ["a"]
    used = harness.request("a")
    harness.finish_start("a#1")
    used.finish()
    harness.loop.advance(1_000)
    assert harness.states() == {"a#1": State.READY}


def test_download_counts_against_no_deadline(make: Make) -> None:
    harness = make({"a": {"needs": 10, "start_deadline": 60, "start_silence": 60}}, max_wait=100)
    arrived = harness.loop.create_future()

    async def obtain(_model: str, _while_waiting: WhileWaiting, _request: str) -> None:
        await asyncio.shield(arrived)

    harness.pool.obtain_files = obtain
    request = harness.request("a")
    harness.loop.advance(1_000)
    assert request.waiting
    assert harness.states() == {}, "no start begins without the files"
    arrived.set_result(None)
    harness.loop.settle()
    harness.loop.advance(50)
    harness.finish_start("a#1")
    assert request.in_progress
