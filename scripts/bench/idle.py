"""After the idle timeout: how soon nothing of the worker is left, and on a GPU whether all of its memory is back."""

from __future__ import annotations

import importlib.util
import statistics
import time
from pathlib import Path
from typing import Any

from scripts.bench.measurement import Goal, Result, Setup
from scripts.demo_models.__main__ import build
from scripts.testbed.server import RunningServer, eventually

TIMEOUT = 0.5
NO_GPU = "NVML finds no GPU here"
_TEXT = f"""
A worker with a process of its own beside it (one that left its group) answers once and is then left alone; its idle
timeout is {TIMEOUT:g} s. Counted is the time from the timeout to the moment at which no process of its tree is left.
On a machine with an NVIDIA GPU the same with a chat model on it: what the GPU holds before and after, as NVML says.
"""


def measure(setup: Setup) -> Result:
    """Seconds after the timeout, and MiB that did not come back."""
    left = [_until_gone(setup.folder / "idle") for _ in range(setup.rounds(3))]
    lost = _lost_on_gpu(setup) if _gpu_used() is not None else None
    goals = [
        Goal("no process of the tree is left after the timeout within", 2, max(left), " s"),
        Goal("GPU memory that did not come back", 0, lost, " MiB", why=NO_GPU),
    ]
    rows = [("gone after the timeout", f"{statistics.median(left):.2f} s")]
    return Result("After an idle stop", _TEXT, goals, ("what", "median"), rows)


def _until_gone(folder: Path) -> float:
    model = {"id": "fake", "engine": "fake", "idle_timeout": TIMEOUT, "options": {"fork_grandchild": "setsid"}}
    with RunningServer(folder, [model]) as server:
        server.chat("fake").raise_for_status()
        over = time.monotonic() + TIMEOUT
        eventually("nothing of the worker is left", lambda: not server.descendants())
        return max(0.0, time.monotonic() - over)


def _lost_on_gpu(setup: Setup) -> float | None:
    """MiB that the first GPU holds more after a chat model has come and gone."""
    if importlib.util.find_spec("transformers") is None:
        return None
    source = str(build(setup.folder / "models", "chat"))
    model: dict[str, Any] = {"id": "chat", "engine": "transformers_chat", "source": source, "device": "cuda"}
    before = _gpu_used() or 0
    with RunningServer(setup.folder / "gpu", [model | {"idle_timeout": TIMEOUT}]) as server:
        server.chat("chat", max_tokens=4).raise_for_status()
        assert (_gpu_used() or 0) > before, "the model was not on the GPU"
        eventually("the worker is gone", lambda: not server.descendants())
        return max(0.0, ((_gpu_used() or 0) - before) / 2**20)


def _gpu_used() -> int | None:
    """Bytes in use on the first GPU; None where there is none."""
    if importlib.util.find_spec("pynvml") is None:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        used: int = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).used
    except pynvml.NVMLError:
        return None
    return used
