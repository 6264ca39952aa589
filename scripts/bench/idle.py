"""After the idle timeout: how soon all processes of the worker are gone, and whether all GPU memory is free again."""

from __future__ import annotations

import importlib.util
import statistics
import time
from pathlib import Path
from typing import Any

from scripts.bench import gpu_memory
from scripts.bench.measurement import Goal, Result, Setup
from scripts.demo_models.__main__ import build
from scripts.testbed.server import RunningServer, eventually

TIMEOUT = 0.5
_TEXT = f"""
A worker that has started another process, in a process group of its own, answers one request. Its idle timeout is
{TIMEOUT:g} s. The value is the time between the timeout and the end of the last of these processes. With an NVIDIA
GPU, the same is done with a chat model on the GPU, and NVML's memory in use is compared before and after.
"""


def measure(setup: Setup) -> Result:
    """Seconds after the timeout, and MiB that stay in use."""
    delays = [_until_gone(setup.folder / "idle") for _ in range(setup.rounds(3))]
    unfreed = _unfreed_gpu_memory(setup) if gpu_memory.used() is not None else None
    goals = [
        Goal("all processes are gone after the timeout within", 2, max(delays), " s"),
        Goal("GPU memory that stays in use", 0, unfreed, " MiB", why=gpu_memory.NO_GPU),
    ]
    rows = [("gone after the timeout", f"{statistics.median(delays):.2f} s")]
    return Result("After an idle stop", _TEXT, goals, ("what", "median"), rows)


def _until_gone(folder: Path) -> float:
    model = {"id": "fake", "engine": "fake", "idle_timeout": TIMEOUT, "options": {"fork_grandchild": "setsid"}}
    with RunningServer(folder, [model]) as server:
        server.chat("fake").raise_for_status()
        timeout = time.monotonic() + TIMEOUT
        eventually("all processes are gone", lambda: not server.descendants())
        return max(0.0, time.monotonic() - timeout)


def _unfreed_gpu_memory(setup: Setup) -> float | None:
    """MiB of the first GPU that are still in use after a chat model has been used and stopped."""
    if importlib.util.find_spec("transformers") is None:
        return None
    source = str(build(setup.folder / "models", "chat"))
    model: dict[str, Any] = {"id": "chat", "engine": "transformers_chat", "source": source, "device": "cuda"}
    before = gpu_memory.used() or 0
    with RunningServer(setup.folder / "gpu", [model | {"idle_timeout": TIMEOUT}]) as server:
        server.chat("chat", max_tokens=4).raise_for_status()
        assert (gpu_memory.used() or 0) > before, "the model was not on the GPU"
        eventually("the worker is gone", lambda: not server.descendants())
        return max(0.0, ((gpu_memory.used() or 0) - before) / 2**20)
