"""The meter of a machine, with real processes and made-up GPUs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from manager.memory.cuda import Cuda
from manager.memory.device import RootProcess
from manager.memory.host import Host
from manager.memory.meters import SCAN_INTERVAL, MachineMeter, detect
from manager.memory.nvml import gpus
from tests.support.fake_nvml import GIB, FakeGpu, FakeNvml
from tests.support.process_family import ProcessFamily, wait_until_gone

MIB = 1 << 20
GPU = "GPU-1"


@pytest.fixture
def family() -> Iterator[ProcessFamily]:
    with ProcessFamily() as processes:
        yield processes


def meter_with(*fakes: FakeGpu) -> MachineMeter:
    return MachineMeter(Host(), Cuda(gpus(FakeNvml(*fakes), None)))


def test_main_memory_is_the_last_device() -> None:
    assert [device.id for device in meter_with(FakeGpu(uuid=GPU)).devices()] == [GPU, "cpu"]
    assert [device.id for device in meter_with().devices()] == ["cpu"]
    assert meter_with(FakeGpu(uuid=GPU)).sample({}).readings.keys() == {GPU, "cpu"}


def test_a_workers_whole_tree_is_measured(family: ProcessFamily) -> None:
    meter = meter_with()
    held = meter.sample({"m#1": RootProcess(family.root, family.uuid, ("cpu",))}).workers["m#1"]
    assert 40 * MIB < held["cpu"] < 200 * MIB
    os.kill(family.escaped, signal.SIGKILL)
    wait_until_gone(family.escaped)
    less = meter.sample({"m#1": RootProcess(family.root, family.uuid)}).workers["m#1"]
    assert held["cpu"] - less["cpu"] >= 20 * MIB


def test_processes_that_leave_the_tree_are_found_later(family: ProcessFamily) -> None:
    now = [0.0]
    meter = MachineMeter(Host(), clock=lambda: now[0])
    meter.sample({"m#1": RootProcess(family.root, family.uuid, ("cpu",))})
    with ProcessFamily() as later:
        roots = {"m#2": RootProcess(later.root, later.uuid, ("cpu",))}
        before = meter.sample(roots).workers["m#2"]["cpu"]
        now[0] += SCAN_INTERVAL
        assert meter.sample(roots).workers["m#2"]["cpu"] - before >= 20 * MIB


def test_a_gpu_worker_is_measured_on_its_gpu_only(family: ProcessFamily) -> None:
    gpu = FakeGpu(uuid=GPU, programs={family.child: 3 * GIB})
    sample = meter_with(gpu).sample({"m#1": RootProcess(family.root, family.uuid, (GPU,))})
    assert sample.workers == {"m#1": {GPU: 3 * GIB}}
    assert sample.readings[GPU].used == 3 * GIB + gpu.reserved


def test_workers_with_equal_shares_are_named() -> None:
    gpu = FakeGpu(uuid=GPU, lists_processes=False)
    meter = meter_with(gpu)
    with ProcessFamily() as first, ProcessFamily() as second:
        gpu.programs = {1: 4 * GIB}
        roots = {
            "a#1": RootProcess(first.root, first.uuid, (GPU,)),
            "b#1": RootProcess(second.root, second.uuid, (GPU,)),
        }
        sample = meter.sample(roots)
        assert sample.workers == {"a#1": {GPU: 2 * GIB}, "b#1": {GPU: 2 * GIB}}
        assert sample.shared == {"a#1", "b#1"}
        meter.baseline({"a#1": roots["a#1"]})
        assert meter.sample({"a#1": roots["a#1"]}).workers == {"a#1": {GPU: 4 * GIB}}


def test_memory_is_freed_when_the_last_process_is_gone(family: ProcessFamily) -> None:
    meter, root = meter_with(), RootProcess(family.root, family.uuid, ("cpu",))
    assert set(meter.holders(root)) == {family.root, family.child, family.escaped}
    os.killpg(family.root, signal.SIGKILL)
    wait_until_gone(family.root, family.child)
    assert meter.holders(root) == [family.escaped]
    assert not meter.freed(root)
    os.kill(family.escaped, signal.SIGKILL)
    wait_until_gone(family.escaped)
    assert meter.freed(root)
    assert meter.holders(root) == []


def test_a_gpu_is_freed_when_the_driver_agrees(family: ProcessFamily) -> None:
    gpu = FakeGpu(uuid=GPU)
    meter, root = meter_with(gpu), RootProcess(family.root, family.uuid, (GPU,))
    gpu.programs = {family.child: 3 * GIB}
    meter.sample({"m#1": root})
    for pid in (family.root, family.child, family.escaped):
        os.kill(pid, signal.SIGKILL)
    wait_until_gone(family.root, family.child, family.escaped)
    assert meter.holders(root) == [family.child]
    gpu.programs, gpu.ghosts = {}, {family.child: 3 * GIB}
    assert meter.holders(root) == []
    assert not meter.freed(root)
    gpu.ghosts = {}
    assert meter.freed(root)


def test_this_machine_is_detected() -> None:
    meter = detect()
    assert meter.devices()[-1].id in {"cpu", "mps"}
    sample = meter.sample({})
    assert {device.id for device in meter.devices()} == sample.readings.keys()
    assert all(0 < reading.used <= reading.total for reading in sample.readings.values())
