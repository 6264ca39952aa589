"""GPUs as NVML shows them, over a fake that answers like the real module."""

from __future__ import annotations

import logging

import pynvml
import pytest

from manager.memory import nvml
from manager.memory.cuda import Cuda
from tests.support.fake_nvml import GIB, MIB, FakeGpu, FakeNvml

UUIDS = ["GPU-aaaa1111", "GPU-aabb2222", "GPU-cccc3333"]


@pytest.mark.parametrize(
    ("value", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        (" 1 , 2", [1, 2]),
        ("GPU-cccc3333", [2]),
        ("GPU-c,0", [2, 0]),
        ("GPU-aa", []),  # means two of them
        ("GPU-zz,0", []),
        ("0,9,1", [0]),
        ("1,-1,0", [1]),
        ("0,0", []),
        ("1,GPU-aabb", []),
        ("MIG-5c3f,1", [1]),
        ("cccc", []),
    ],
)
def test_visible_reads_the_variable_as_cuda_does(value: str | None, indices: list[int]) -> None:
    assert nvml.visible(value, UUIDS) == indices


def test_devices_are_known_by_uuid_and_numbered_as_visible() -> None:
    fake = FakeNvml(
        FakeGpu(uuid=b"GPU-old", name=b"Tesla T4", total=16 * GIB, capability=(7, 5)),
        FakeGpu(uuid="GPU-new", name="NVIDIA H200", total=141 * GIB, capability=(9, 0)),
    )
    new, old = Cuda(nvml.gpus(fake, "1,0")).devices()
    assert (new.id, new.kind, new.name, new.total, new.index, new.bf16) == (
        "GPU-new",
        "cuda",
        "NVIDIA H200",
        141 * GIB,
        0,
        True,
    )
    assert (old.id, old.name, old.index, old.bf16) == ("GPU-old", "Tesla T4", 1, False)


@pytest.mark.parametrize("old_driver", [False, True])
def test_what_the_driver_reserves_counts_as_used(old_driver: bool) -> None:
    gpu = FakeGpu(total=80 * GIB, reserved=600 * MIB, hidden=100 * MIB)
    (read,) = nvml.gpus(FakeNvml(gpu, old_driver=old_driver), None)
    assert (read.total, read.used()) == (80 * GIB, 700 * MIB)


@pytest.mark.parametrize("old_driver", [False, True])
def test_processes_that_compute_and_draw_are_listed_once(old_driver: bool) -> None:
    gpu = FakeGpu(programs={7: 5 * GIB, 8: GIB}, drawing={8: GIB, 9: 200 * MIB})
    (read,) = nvml.gpus(FakeNvml(gpu, old_driver=old_driver), None)
    assert read.processes() == {7: 5 * GIB, 8: GIB, 9: 200 * MIB}


def test_bytes_that_the_driver_does_not_tell_are_none() -> None:
    (read,) = nvml.gpus(FakeNvml(FakeGpu(programs={7: GIB}, tells_bytes=False)), None)
    assert read.processes() == {7: None}


def test_gpus_split_by_mig_or_without_memory_figures_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeNvml(
        FakeGpu(uuid="GPU-split", mig=True),
        FakeGpu(uuid="GPU-integrated", tells_memory=False),
        FakeGpu(uuid="GPU-whole", mig=False),
    )
    assert [gpu.uuid for gpu in nvml.gpus(fake, None)] == ["GPU-whole"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["GPU-split" in warnings[0], "MIG" in warnings[0], "GPU-integrated" in warnings[1]] == [True] * 3


def test_a_lost_gpu_has_nothing_to_give_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    gpu = FakeGpu(total=80 * GIB)
    (read,) = nvml.gpus(FakeNvml(gpu), None)
    gpu.lost = True
    assert [read.used(), read.used()] == [80 * GIB, 80 * GIB]
    assert read.processes() == {}
    assert len(caplog.records) == 1
    gpu.lost = False
    assert read.used() == gpu.reserved


@pytest.mark.parametrize("problem", ["LibraryNotFound", "DriverNotLoaded"])
def test_a_machine_without_a_driver_has_no_gpus(problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise getattr(pynvml, f"NVMLError_{problem}")()

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert nvml.load() is None


def test_an_environment_without_the_package_has_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert nvml.load() is None


def test_every_function_that_we_call_exists_in_the_real_module() -> None:
    missing = [name for name in dir(FakeNvml) if name.startswith("nvml") and not hasattr(pynvml, name)]
    assert missing == []
