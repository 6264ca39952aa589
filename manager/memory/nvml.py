"""Talks to NVIDIA's management library: which GPUs the manager sees, and what each says of its memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

log = logging.getLogger(__name__)


class Gpu:
    """One GPU. `nvml` is the module `pynvml`, or what answers like it; `handle` is its handle for the GPU."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle
        self.uuid = _text(nvml.nvmlDeviceGetUUID(handle))
        self.name = _text(nvml.nvmlDeviceGetName(handle))
        self.total, _ = self._read()
        self._unreadable = False

    def bf16(self) -> bool:
        """Whether it computes in bfloat16: Ampere (8.0) and later."""
        try:
            major, _ = self._nvml.nvmlDeviceGetCudaComputeCapability(self._handle)
        except errors(self._nvml):
            return False
        return bool(major >= 8)

    def partitioned(self) -> bool:
        """Whether it is split into MIG instances."""
        try:
            current, _ = self._nvml.nvmlDeviceGetMigMode(self._handle)
        except errors(self._nvml):
            return False
        return bool(current)

    def used(self) -> int:
        """Bytes that cannot be had, the driver's own included; all of them where the GPU does not answer any more."""
        try:
            _, used = self._read()
        except errors(self._nvml) as error:
            if not self._unreadable:
                log.warning("GPU %s does not tell its memory any more (%s): nothing is started there", self.uuid, error)
            self._unreadable = True
            return self.total
        self._unreadable = False
        return used

    def processes(self) -> dict[int, int | None]:
        """Bytes by pid, of programs that compute and of those that draw; None where the driver does not tell them."""
        found: dict[int, int | None] = {}
        for ask in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
            for process in self._list(ask):
                used, before = process.usedGpuMemory, found.get(process.pid)
                found[process.pid] = before if used is None else max(int(used), before or 0)
        return found

    def _list(self, function: str) -> Sequence[Any]:
        """Drivers older than the Python package know only the second version of the call."""
        for name in (function, f"{function}_v2"):
            try:
                return list(getattr(self._nvml, name)(self._handle))
            except errors(self._nvml):
                continue
        return ()

    def _read(self) -> tuple[int, int]:
        """Total and used. `used` of the newer call leaves out what the driver reserves, so we count from `free`."""
        try:
            info = self._nvml.nvmlDeviceGetMemoryInfo(self._handle, version=self._nvml.nvmlMemory_v2)
        except errors(self._nvml):
            info = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        return int(info.total), int(info.total - info.free)


def gpus(nvml: Any, environ_visible: str | None) -> list[Gpu]:
    """The GPUs that the manager may use, in their order; `environ_visible` is its own CUDA_VISIBLE_DEVICES.

    MIG instances are not supported yet, and GPUs that do not tell their memory cannot be: both are left out, with a
    warning in the log.
    """
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    uuids = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    chosen = (_usable(nvml, handles[index], uuids[index]) for index in visible(environ_visible, uuids))
    return [gpu for gpu in chosen if gpu]


def load() -> Any | None:
    """`pynvml`, ready for use; None where the package, the driver or the GPU is missing."""
    try:
        import pynvml
    except ImportError:
        log.info("no GPU is looked for: the package nvidia-ml-py is not installed")
        return None
    try:
        pynvml.nvmlInit()
    except errors(pynvml) as error:
        log.info("no NVIDIA GPU: %s", error)
        return None
    return pynvml


def errors(nvml: Any) -> tuple[type[Exception], ...]:
    """What its calls raise; a driver that lacks a function has an error of its own, outside the tree."""
    return (nvml.NVMLError, nvml.NVMLLibraryMismatchError)


def visible(value: str | None, uuids: Sequence[str]) -> list[int]:
    """The indices that CUDA_VISIBLE_DEVICES names, as CUDA reads it: None means all, "" none.

    Entries are indices (in PCI bus order, as in nvidia-smi) or UUIDs, which may be cut short where that stays unique.
    The first invalid entry hides itself and all after it; a GPU named twice hides everything.
    """
    if value is None:
        return list(range(len(uuids)))
    found: list[int] = []
    for entry in (part.strip() for part in value.split(",")):
        if entry.startswith("MIG-"):
            log.warning("CUDA_VISIBLE_DEVICES names %s: MIG instances are not supported yet, it is left out", entry)
            continue
        index = _index(entry, uuids)
        if index is None:
            break
        found.append(index)
    return found if len(set(found)) == len(found) else []


def _index(entry: str, uuids: Sequence[str]) -> int | None:
    if entry.isdecimal():
        return int(entry) if int(entry) < len(uuids) else None
    matching = [index for index, uuid in enumerate(uuids) if entry.startswith("GPU-") and uuid.startswith(entry)]
    return matching[0] if len(matching) == 1 else None


def _usable(nvml: Any, handle: Any, uuid: str) -> Gpu | None:
    try:
        gpu = Gpu(nvml, handle)
    except errors(nvml) as error:
        log.warning("GPU %s is left out: it does not tell its memory (%s)", uuid, error)
        return None
    if gpu.partitioned():
        log.warning("GPU %s is left out: it is split by MIG, which is not supported yet", uuid)
        return None
    return gpu


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
