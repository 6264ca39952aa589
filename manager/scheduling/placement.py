"""Which devices a model may run on, and with which dtype. Decided here, so that workers never detect anything."""

from __future__ import annotations

from collections.abc import Sequence

from contract.config import ModelSpec
from manager.memory.device import MemoryDevice
from manager.state.process import Placement

_PREFERENCE = ("cuda", "mps", "cpu")
"""For `device: auto`: the first kind that the engine supports and the machine has."""


def possible_devices(
    spec: ModelSpec, engine_kinds: Sequence[str], devices: Sequence[MemoryDevice]
) -> list[MemoryDevice]:
    """Those of the machine's devices on which an entry may run. `engine_kinds`: what its engine supports."""
    if spec.device == "auto":
        kinds = {_memory_kind(kind) for kind in engine_kinds}
        kind = next((k for k in _PREFERENCE if k in kinds and any(d.kind == k for d in devices)), None)
        # On a machine with one unified memory, a CPU model uses that memory.
        return [d for d in devices if d.kind == kind] or ([d for d in devices if "cpu" in kinds and d.kind == "mps"])
    kind, _, index = spec.device.partition(":")
    matching = [d for d in devices if d.kind == _memory_kind(kind) and (not index or d.index == int(index))]
    # Without an Apple GPU, MLX computes on the CPU.
    return matching or [d for d in devices if (kind, d.kind) in {("cpu", "mps"), ("mlx", "cpu")}]


def place(spec: ModelSpec, engine_kinds: Sequence[str], device: MemoryDevice) -> Placement:
    """The placement on one of the possible devices, with an environment in which the process sees no other GPU."""
    kind = _worker_kind(spec, engine_kinds, device)
    environment = {"CUDA_VISIBLE_DEVICES": device.id if device.kind == "cuda" else ""}
    return Placement((device.id,), kind, _dtype(spec, device, kind), environment)


def _dtype(spec: ModelSpec, device: MemoryDevice, kind: str) -> str:
    """The entry's own dtype, else float32 on CPUs, bfloat16 on GPUs that support it, float16 on other GPUs.

    MLX loads weights as they were saved (`auto`): those of mlx-community are quantised, with scales of their own.
    """
    if spec.dtype != "auto":
        return spec.dtype
    if kind == "mlx":
        return "auto"
    if kind == "cpu":
        return "float32"
    return "bfloat16" if kind == "cuda" and device.bf16 else "float16"


def _memory_kind(kind: str) -> str:
    """MLX uses the same unified memory as MPS."""
    return "mps" if kind == "mlx" else kind


def _worker_kind(spec: ModelSpec, engine_kinds: Sequence[str], device: MemoryDevice) -> str:
    """The kind of device that the worker gets, such as `mlx` or `cpu` on the device `mps`."""
    if device.kind == "cpu":
        return "cpu"
    if spec.device != "auto":
        return spec.device.partition(":")[0]
    if device.kind == "mps":
        return next((kind for kind in ("mlx", "mps", "cpu") if kind in engine_kinds), "cpu")
    return device.kind
