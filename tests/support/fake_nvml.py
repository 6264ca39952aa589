"""A stand-in for the module `pynvml` with made-up GPUs, which behaves like new, old and restricted drivers."""

# ruff: noqa: N802, N815 - the names are those of the real module

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

MIB = 1 << 20
GIB = 1 << 30


@dataclass
class FakeGpu:
    """`programs` and `drawing` are bytes by pid of compute and graphics programs; `hidden` is used by unlisted ones."""

    uuid: str | bytes = "GPU-00000000-0000-0000-0000-000000000000"
    name: str | bytes = "NVIDIA A100"
    total: int = 80 * GIB
    reserved: int = 600 * MIB
    capability: tuple[int, int] = (8, 0)
    mig: bool | None = None  # None: the GPU cannot be split
    memory_readable: bool = True
    lists_processes: bool = True  # False: as in a container with its own pid namespace
    lists_bytes: bool = True  # False: as on WSL
    lost: bool = False
    hidden: int = 0
    programs: dict[int, int] = field(default_factory=dict)
    drawing: dict[int, int] = field(default_factory=dict)
    ghosts: dict[int, int] = field(default_factory=dict)  # still in use by processes that are no longer listed

    @property
    def used(self) -> int:
        everything = {**self.drawing, **self.programs}
        return self.hidden + sum(everything.values()) + sum(self.ghosts.values())


class FakeNvml:
    """The functions that the manager calls, under pynvml's names. A handle is the GPU itself."""

    NVMLError = pynvml.NVMLError
    NVMLLibraryMismatchError = pynvml.NVMLLibraryMismatchError
    nvmlMemory_v2 = pynvml.nvmlMemory_v2

    def __init__(self, *gpus: FakeGpu, old_driver: bool = False) -> None:
        self.gpus, self.old_driver = gpus, old_driver

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> str | bytes:
        return gpu.uuid

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str | bytes:
        return gpu.name

    def nvmlDeviceGetCudaComputeCapability(self, gpu: FakeGpu) -> tuple[int, int]:
        return gpu.capability

    def nvmlDeviceGetMigMode(self, gpu: FakeGpu) -> list[int]:
        if gpu.mig is None:
            raise pynvml.NVMLError_NotSupported()
        return [int(gpu.mig), int(gpu.mig)]

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu, version: int | None = None) -> Any:
        if gpu.lost:
            raise pynvml.NVMLError_GpuIsLost()
        if not gpu.memory_readable:
            raise pynvml.NVMLError_NotSupported()
        if version and self.old_driver:
            raise pynvml.NVMLError_FunctionNotFound()
        free = gpu.total - gpu.reserved - gpu.used
        if version:
            return SimpleNamespace(total=gpu.total, reserved=gpu.reserved, free=free, used=gpu.used)
        return SimpleNamespace(total=gpu.total, free=free, used=gpu.used + gpu.reserved)

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeGpu) -> list[Any]:
        if self.old_driver:
            raise pynvml.NVMLLibraryMismatchError("Unversioned function called")
        return self._processes(gpu, gpu.programs)

    def nvmlDeviceGetComputeRunningProcesses_v2(self, gpu: FakeGpu) -> list[Any]:
        return self._processes(gpu, gpu.programs)

    def nvmlDeviceGetGraphicsRunningProcesses(self, gpu: FakeGpu) -> list[Any]:
        if self.old_driver:
            raise pynvml.NVMLLibraryMismatchError("Unversioned function called")
        return self._processes(gpu, gpu.drawing)

    def nvmlDeviceGetGraphicsRunningProcesses_v2(self, gpu: FakeGpu) -> list[Any]:
        return self._processes(gpu, gpu.drawing)

    def _processes(self, gpu: FakeGpu, programs: dict[int, int]) -> list[Any]:
        if gpu.lost:
            raise pynvml.NVMLError_GpuIsLost()
        if not gpu.lists_processes:
            return []
        return [
            SimpleNamespace(pid=pid, usedGpuMemory=used if gpu.lists_bytes else None) for pid, used in programs.items()
        ]
