"""Where an entry goes, as what, and in which precision: on a Linux machine and on Apple's."""

from __future__ import annotations

import pytest

from contract.config import ModelSpec
from manager.memory import GIB, MemoryDevice
from manager.scheduling.placement import places, settle

CPU = MemoryDevice("cpu", "cpu", "CPU", 32 * GIB)
GPU = MemoryDevice("GPU-0", "cuda", "NVIDIA", 24 * GIB, index=0, bf16=True)
APPLE = MemoryDevice("mps", "mps", "Apple M3", 24 * GIB, bf16=True)
TORCH, MLX = ("cuda", "mps", "cpu"), ("mlx", "cpu")


def placed(runs_on: tuple[str, ...], *devices: MemoryDevice, **entry: str) -> list[tuple[str, str, str]]:
    """(device, kind that the worker is told, dtype) of each place."""
    spec = ModelSpec.model_validate({"id": "a", "engine": "fake", **entry})
    found = places(spec, runs_on, devices)
    settled = [settle(spec, runs_on, device) for device in found]
    return [(device.id, place.kind, place.dtype) for device, place in zip(found, settled, strict=True)]


@pytest.mark.parametrize(
    ("runs_on", "devices", "entry", "expected"),
    [
        (TORCH, (GPU, CPU), {}, ("GPU-0", "cuda", "bfloat16")),
        (TORCH, (GPU, CPU), {"device": "cpu"}, ("cpu", "cpu", "float32")),
        (TORCH, (APPLE,), {}, ("mps", "mps", "float16")),
        (TORCH, (APPLE,), {"device": "cpu"}, ("mps", "cpu", "float32")),
        (MLX, (APPLE,), {}, ("mps", "mlx", "auto")),
        (MLX, (APPLE,), {"device": "mlx", "dtype": "float16"}, ("mps", "mlx", "float16")),
        (MLX, (APPLE,), {"device": "cpu"}, ("mps", "cpu", "float32")),
        (MLX, (GPU, CPU), {}, ("cpu", "cpu", "float32")),
        (MLX, (GPU, CPU), {"device": "mlx"}, ("cpu", "cpu", "float32")),
    ],
)
def test_an_entry_goes_where_its_engine_runs_best(
    runs_on: tuple[str, ...], devices: tuple[MemoryDevice, ...], entry: dict[str, str], expected: tuple[str, str, str]
) -> None:
    assert placed(runs_on, *devices, **entry) == [expected]


def test_a_machine_without_such_a_device_has_no_place() -> None:
    assert placed(TORCH, CPU, device="cuda") == []
    assert placed(("cuda",), APPLE) == []
