"""The memory in use on the first NVIDIA GPU, as the driver reports it."""

from __future__ import annotations

import importlib.util

NO_GPU = "NVML finds no GPU here"
"""Why something was not measured or tested."""


def used() -> int | None:
    """Bytes in use; None without a GPU."""
    if importlib.util.find_spec("pynvml") is None:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        size: int = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used
    except pynvml.NVMLError:
        return None
    return size
