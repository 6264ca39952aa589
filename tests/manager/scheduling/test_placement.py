"""The device, kind and dtype chosen for an entry, on a Linux machine with a GPU and on an Apple one."""

from __future__ import annotations

import pytest

from contract.config import ModelSpec
from manager.memory.device import GIB, MemoryDevice
from manager.scheduling.placement import place, possible_devices

CPU = MemoryDevice("cpu", "cpu", "CPU", 32 * GIB)
GPU = MemoryDevice("GPU-0", "cuda", "NVIDIA", 24 * GIB, index=0, bf16=True)
APPLE = MemoryDevice("mps", "mps", "Apple M3", 24 * GIB, bf16=True)
TORCH, MLX = ("cuda", "mps", "cpu"), ("mlx", "cpu")


def placements(engine_kinds: tuple[str, ...], *devices: MemoryDevice, **entry: str) -> list[tuple[str, ...]]:
    """(device, kind of device for the worker, dtype) of each possible placement."""
    spec = ModelSpec.model_validate({"id": "a", "engine": "fake", **entry})
    placed = [place(spec, engine_kinds, device) for device in possible_devices(spec, engine_kinds, devices)]
    return [(*placement.devices, placement.kind, placement.dtype) for placement in placed]


@pytest.mark.parametrize(
    ("engine_kinds", "devices", "entry", "expected"),
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
def test_an_entry_runs_on_the_best_supported_device(
    engine_kinds: tuple[str, ...],
    devices: tuple[MemoryDevice, ...],
    entry: dict[str, str],
    expected: tuple[str, str, str],
) -> None:
    assert placements(engine_kinds, *devices, **entry) == [expected]


def test_without_a_supported_device_there_is_no_placement() -> None:
    assert placements(TORCH, CPU, device="cuda") == []
    assert placements(("cuda",), APPLE) == []
