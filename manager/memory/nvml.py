"""Reads NVIDIA's management library: which GPUs the manager may use, and the memory of each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

log = logging.getLogger(__name__)


class Gpu:
    """One GPU. `nvml` is the module `pynvml`, or a stand-in with the same functions; `handle` is NVML's handle."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle
        self.uuid = _text(nvml.nvmlDeviceGetUUID(handle))
        self.name = _text(nvml.nvmlDeviceGetName(handle))
        self.total, _ = self._total_and_used()
        self._unreadable = False

    def bf16(self) -> bool:
        """Whether it computes in bfloat16: compute capability 8.0 (Ampere) and later."""
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
        """Bytes that are not available, the driver's own included; all of them if the GPU does not answer any more."""
        try:
            _, used = self._total_and_used()
        except errors(self._nvml) as error:
            if not self._unreadable:
                log.warning("the memory of GPU %s cannot be read (%s): no worker will start on it", self.uuid, error)
            self._unreadable = True
            return self.total
        self._unreadable = False
        return used

    def processes(self) -> dict[int, int | None]:
        """Bytes by pid, of compute and graphics programs; None where the driver lists a program without its memory."""
        by_pid: dict[int, int | None] = {}
        for query in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
            for process in self._list(query):
                used, known = process.usedGpuMemory, by_pid.get(process.pid)
                by_pid[process.pid] = known if used is None else max(int(used), known or 0)
        return by_pid

    def _list(self, query: str) -> Sequence[Any]:
        """Drivers older than the Python package know only the second version of the call."""
        for name in (query, f"{query}_v2"):
            try:
                return list(getattr(self._nvml, name)(self._handle))
            except errors(self._nvml):
                continue
        return ()

    def _total_and_used(self) -> tuple[int, int]:
        """The newer call's `used` leaves out the driver's own memory, so used is computed from `free`."""
        try:
            info = self._nvml.nvmlDeviceGetMemoryInfo(self._handle, version=self._nvml.nvmlMemory_v2)
        except errors(self._nvml):
            info = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        return int(info.total), int(info.total - info.free)


def gpus(nvml: Any, visible_devices: str | None) -> list[Gpu]:
    """The GPUs that the manager may use, in order. `visible_devices` is its own CUDA_VISIBLE_DEVICES.

    Leaves out, with a warning in the log, GPUs that are split by MIG, which is not supported yet, and GPUs whose memory
    cannot be read.
    """
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    uuids = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    usable = (_usable(nvml, handles[index], uuids[index]) for index in visible_indices(visible_devices, uuids))
    return [gpu for gpu in usable if gpu]


def load() -> Any | None:
    """`pynvml`, initialised; None if the package, the driver or the GPU is missing."""
    try:
        import pynvml
    except ImportError:
        log.info("NVIDIA GPUs are not used: the package nvidia-ml-py is not installed")
        return None
    try:
        pynvml.nvmlInit()
    except errors(pynvml) as error:
        log.info("there is no NVIDIA GPU: %s", error)
        return None
    return pynvml


def errors(nvml: Any) -> tuple[type[Exception], ...]:
    """What NVML's calls raise. A function that the driver lacks raises an error outside NVMLError's tree."""
    return (nvml.NVMLError, nvml.NVMLLibraryMismatchError)


def visible_indices(visible_devices: str | None, uuids: Sequence[str]) -> list[int]:
    """The indices that a value of CUDA_VISIBLE_DEVICES selects, by CUDA's rules: None selects all, "" none.

    Entries are indices (in PCI bus order, as in nvidia-smi) or UUIDs, which may be shortened while they stay unique. An
    invalid entry hides itself and all entries after it; a GPU that is named twice hides everything.
    """
    if visible_devices is None:
        return list(range(len(uuids)))
    indices: list[int] = []
    for entry in (part.strip() for part in visible_devices.split(",")):
        if entry.startswith("MIG-"):
            log.warning("%s in CUDA_VISIBLE_DEVICES is left out: MIG instances are not supported yet", entry)
            continue
        index = _index(entry, uuids)
        if index is None:
            break
        indices.append(index)
    return indices if len(set(indices)) == len(indices) else []


def _index(entry: str, uuids: Sequence[str]) -> int | None:
    if entry.isdecimal():
        return int(entry) if int(entry) < len(uuids) else None
    matching = [index for index, uuid in enumerate(uuids) if entry.startswith("GPU-") and uuid.startswith(entry)]
    return matching[0] if len(matching) == 1 else None


def _usable(nvml: Any, handle: Any, uuid: str) -> Gpu | None:
    try:
        gpu = Gpu(nvml, handle)
    except errors(nvml) as error:
        log.warning("GPU %s is left out: its memory cannot be read (%s)", uuid, error)
        return None
    if gpu.partitioned():
        log.warning("GPU %s is left out: it is split by MIG, which is not supported yet", uuid)
        return None
    return gpu


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
