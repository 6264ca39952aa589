"""Where a model may go, and with which dtype: settled here, so that workers never detect anything."""

from __future__ import annotations

from collections.abc import Sequence

from contract.config import ModelSpec
from manager.memory import MemoryDevice
from manager.processes.launchers import Placement
from manager.scheduling.plan import Candidate

_PREFERENCE = ("cuda", "mps", "cpu")
"""For `device: auto`: the first kind that the engine runs on and the machine has."""


def places(spec: ModelSpec, runs_on: Sequence[str], devices: Sequence[MemoryDevice]) -> list[MemoryDevice]:
    """The devices on which an entry may run; empty if the machine has none of them."""
    if spec.device == "auto":
        kinds = {_kind(kind) for kind in runs_on}
        kind = next((k for k in _PREFERENCE if k in kinds and any(d.kind == k for d in devices)), None)
        # A CPU model on a machine with one unified memory lives in that memory.
        return [d for d in devices if d.kind == kind] or ([d for d in devices if "cpu" in kinds and d.kind == "mps"])
    kind, _, index = spec.device.partition(":")
    found = [d for d in devices if d.kind == _kind(kind) and (not index or d.index == int(index))]
    # Without an Apple GPU MLX computes on the CPU.
    return found or [d for d in devices if (kind, d.kind) in {("cpu", "mps"), ("mlx", "cpu")}]


def candidates(found: Sequence[MemoryDevice], footprint: int, *, learned: bool) -> tuple[Candidate, ...]:
    """The plan's view of those places."""
    return tuple(Candidate((device.id,), footprint, learned) for device in found)


def settle(spec: ModelSpec, runs_on: Sequence[str], device: MemoryDevice) -> Placement:
    """The exact place, with dtype, and the environment in which the process sees its own device alone."""
    kind = _worker_kind(spec, runs_on, device)
    environment = {"CUDA_VISIBLE_DEVICES": device.id if device.kind == "cuda" else ""}
    return Placement((device.id,), kind, dtype(spec, device, kind), environment)


def dtype(spec: ModelSpec, device: MemoryDevice, kind: str) -> str:
    """float32 on CPU, bfloat16 where the GPU has it, else float16; unless the entry says otherwise.

    MLX takes weights as they were saved (`auto`): those of mlx-community are quantised, with scales of their own.
    """
    if spec.dtype != "auto":
        return spec.dtype
    if kind == "mlx":
        return "auto"
    if kind == "cpu":
        return "float32"
    return "bfloat16" if kind == "cuda" and device.bf16 else "float16"


def _kind(name: str) -> str:
    """MLX runs in the same unified memory as MPS."""
    return "mps" if name == "mlx" else name


def _worker_kind(spec: ModelSpec, runs_on: Sequence[str], device: MemoryDevice) -> str:
    if device.kind == "cpu":
        return "cpu"
    if spec.device != "auto":
        return spec.device.partition(":")[0]
    if device.kind == "mps":
        return next((k for k in ("mlx", "mps", "cpu") if k in runs_on), "cpu")
    return device.kind
