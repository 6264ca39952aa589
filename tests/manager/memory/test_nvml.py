"""GPUs as NVML shows them, with a stand-in for the real module."""

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
        ("GPU-aa", []),  # ambiguous
        ("GPU-zz,0", []),
        ("0,9,1", [0]),
        ("1,-1,0", [1]),
        ("0,0", []),
        ("1,GPU-aabb", []),
        ("MIG-5c3f,1", [1]),
        ("cccc", []),
    ],
)
def test_visible_devices_are_read_as_cuda_does(value: str | None, indices: list[int]) -> None:
    assert nvml.visible_indices(value, UUIDS) == indices


def test_devices_are_numbered_in_visible_order() -> None:
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
def test_the_drivers_own_memory_counts_as_used(old_driver: bool) -> None:
    gpu = FakeGpu(total=80 * GIB, reserved=600 * MIB, hidden=100 * MIB)
    (read,) = nvml.gpus(FakeNvml(gpu, old_driver=old_driver), None)
    assert (read.total, read.used()) == (80 * GIB, 700 * MIB)


@pytest.mark.parametrize("old_driver", [False, True])
def test_compute_and_graphics_processes_are_listed_once(old_driver: bool) -> None:
    gpu = FakeGpu(programs={7: 5 * GIB, 8: GIB}, drawing={8: GIB, 9: 200 * MIB})
    (read,) = nvml.gpus(FakeNvml(gpu, old_driver=old_driver), None)
    assert read.processes() == {7: 5 * GIB, 8: GIB, 9: 200 * MIB}


def test_unreported_bytes_are_none() -> None:
    (read,) = nvml.gpus(FakeNvml(FakeGpu(programs={7: GIB}, lists_bytes=False)), None)
    assert read.processes() == {7: None}


def test_mig_and_unreadable_gpus_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeNvml(
        FakeGpu(uuid="GPU-split", mig=True),
        FakeGpu(uuid="GPU-integrated", memory_readable=False),
        FakeGpu(uuid="GPU-whole", mig=False),
    )
    assert [gpu.uuid for gpu in nvml.gpus(fake, None)] == ["GPU-whole"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["GPU-split" in warnings[0], "MIG" in warnings[0], "GPU-integrated" in warnings[1]] == [True] * 3


def test_a_lost_gpu_counts_as_full_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    gpu = FakeGpu(total=80 * GIB)
    (read,) = nvml.gpus(FakeNvml(gpu), None)
    gpu.lost = True
    assert [read.used(), read.used()] == [80 * GIB, 80 * GIB]
    assert read.processes() == {}
    assert len(caplog.records) == 1
    gpu.lost = False
    assert read.used() == gpu.reserved


@pytest.mark.parametrize("problem", ["LibraryNotFound", "DriverNotLoaded"])
def test_without_a_driver_there_are_no_gpus(problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise getattr(pynvml, f"NVMLError_{problem}")()

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert nvml.load() is None


def test_without_the_package_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert nvml.load() is None


def test_every_called_function_exists_in_pynvml() -> None:
    missing = [name for name in dir(FakeNvml) if name.startswith("nvml") and not hasattr(pynvml, name)]
    assert missing == []
