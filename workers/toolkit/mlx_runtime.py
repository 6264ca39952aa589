"""MLX's device, and the memory that it keeps for its next computations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import mlx.core as mx

from workers.engine import Device
from workers.step_meter import StepMeter

Answered = TypeVar("Answered")


def use(device: Device, buffer_cache_gb: float) -> None:
    """Compute on the assigned device. `mlx` is Apple's GPU, or the CPU if there is none (`mlx[cpu]` on Linux).

    MLX keeps the memory of earlier computations for later ones, by default nearly all of the machine's.
    """
    mx.set_cache_limit(int(buffer_cache_gb * 2**30))
    on_gpu = device.kind == "mlx" and mx.metal.is_available()
    mx.set_default_device(mx.gpu if on_gpu else mx.cpu)
    if not on_gpu:
        mx.disable_compile()  # on the CPU it needs a C++ compiler, and takes seconds per function


def releasing(answers: Iterator[Answered], meter: StepMeter) -> Iterator[Answered]:
    """Pass the answers on; after the last one, free the memory that MLX caches for later computations."""
    try:
        yield from answers
    finally:
        mx.clear_cache()
        count_buffers(meter)


def count_buffers(meter: StepMeter, **held: int) -> None:
    """Note how much memory MLX keeps for its next computations, and what else is `held`."""
    meter.hold({**meter.held, **held, "buffer_cache": mx.get_cache_memory()})
