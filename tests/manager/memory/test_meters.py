"""The whole meter, over real processes and GPUs that a test makes up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from manager.memory import Root, detect
from manager.memory.cuda import Cuda
from manager.memory.host import Host
from manager.memory.meters import SCAN_EVERY, MachineMeter
from manager.memory.nvml import gpus
from tests.support.fake_nvml import GIB, FakeGpu, FakeNvml
from tests.support.process_family import Family, gone

MIB = 1 << 20
GPU = "GPU-1"


@pytest.fixture
def family() -> Iterator[Family]:
    with Family() as born:
        yield born


def over(*fakes: FakeGpu) -> MachineMeter:
    return MachineMeter(Host(), Cuda(gpus(FakeNvml(*fakes), None)))


def test_gpus_come_first_and_the_machines_own_memory_is_always_there() -> None:
    assert [device.id for device in over(FakeGpu(uuid=GPU)).devices()] == [GPU, "cpu"]
    assert [device.id for device in over().devices()] == ["cpu"]
    assert over(FakeGpu(uuid=GPU)).sample({}).readings.keys() == {GPU, "cpu"}


def test_a_worker_holds_what_its_whole_family_holds(family: Family) -> None:
    meter = over()
    held = meter.sample({"m#1": Root(family.root, family.uuid, ("cpu",))}).workers["m#1"]
    assert 40 * MIB < held["cpu"] < 200 * MIB
    os.kill(family.escaped, signal.SIGKILL)
    gone(family.escaped)
    less = meter.sample({"m#1": (family.root, family.uuid)}).workers["m#1"]
    assert held["cpu"] - less["cpu"] >= 20 * MIB


def test_processes_that_leave_the_tree_later_are_found_in_time(family: Family) -> None:
    now = [0.0]
    meter = MachineMeter(Host(), clock=lambda: now[0])
    meter.sample({"m#1": Root(family.root, family.uuid, ("cpu",))})
    with Family() as later:
        roots = {"m#2": Root(later.root, later.uuid, ("cpu",))}
        before = meter.sample(roots).workers["m#2"]["cpu"]
        now[0] += SCAN_EVERY
        assert meter.sample(roots).workers["m#2"]["cpu"] - before >= 20 * MIB


def test_a_gpus_worker_is_measured_on_its_gpu_alone(family: Family) -> None:
    gpu = FakeGpu(uuid=GPU, programs={family.child: 3 * GIB})
    sample = over(gpu).sample({"m#1": Root(family.root, family.uuid, (GPU,))})
    assert sample.workers == {"m#1": {GPU: 3 * GIB}}
    assert sample.readings[GPU].used == 3 * GIB + gpu.reserved


def test_workers_that_share_a_figure_are_named() -> None:
    gpu = FakeGpu(uuid=GPU, lists=False)
    meter = over(gpu)
    with Family() as one, Family() as two:
        gpu.programs = {1: 4 * GIB}
        roots = {"a#1": Root(one.root, one.uuid, (GPU,)), "b#1": Root(two.root, two.uuid, (GPU,))}
        sample = meter.sample(roots)
        assert sample.workers == {"a#1": {GPU: 2 * GIB}, "b#1": {GPU: 2 * GIB}}
        assert sample.shared == {"a#1", "b#1"}
        meter.baseline({"a#1": roots["a#1"]})
        assert meter.sample({"a#1": roots["a#1"]}).workers == {"a#1": {GPU: 4 * GIB}}


def test_memory_is_freed_when_the_last_of_the_family_is_gone(family: Family) -> None:
    meter, root = over(), Root(family.root, family.uuid, ("cpu",))
    assert set(meter.holds(root, ("cpu",))) == {family.root, family.child, family.escaped}
    os.killpg(family.root, signal.SIGKILL)
    gone(family.root, family.child)
    assert meter.holds(root, ("cpu",)) == [family.escaped]
    assert not meter.freed(root, ("cpu",))
    os.kill(family.escaped, signal.SIGKILL)
    gone(family.escaped)
    assert meter.freed(root, ("cpu",))
    assert meter.holds(root, ("cpu",)) == []


def test_on_a_gpu_the_driver_must_agree(family: Family) -> None:
    gpu = FakeGpu(uuid=GPU)
    meter, root = over(gpu), Root(family.root, family.uuid, (GPU,))
    gpu.programs = {family.child: 3 * GIB}
    meter.sample({"m#1": root})
    for pid in (family.root, family.child, family.escaped):
        os.kill(pid, signal.SIGKILL)
    gone(family.root, family.child, family.escaped)
    assert meter.holds(root, (GPU,)) == [family.child]
    gpu.programs, gpu.ghosts = {}, {family.child: 3 * GIB}
    assert meter.holds(root, (GPU,)) == []
    assert not meter.freed(root, (GPU,))
    gpu.ghosts = {}
    assert meter.freed(root, (GPU,))


def test_this_machine_is_detected() -> None:
    meter = detect()
    assert meter.devices()[-1].id in {"cpu", "mps"}
    sample = meter.sample({})
    assert {device.id for device in meter.devices()} == sample.readings.keys()
    assert all(0 < reading.used <= reading.total for reading in sample.readings.values())
