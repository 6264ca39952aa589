"""Which build of torch pip would take, and whether it suits the machine: a CUDA build is of no use without a GPU."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

_DRIVER = Path("/proc/driver/nvidia/gpus")
_WSL = Path("/usr/lib/wsl/lib/libcuda.so.1")
_CUDA = re.compile(r"^(nvidia|cuda)-", re.IGNORECASE)


def nvidia_gpu(driver: Path = _DRIVER, wsl: Path = _WSL) -> bool:
    """Whether the kernel's driver lists an NVIDIA GPU, or Windows lends one to this Linux."""
    return (driver.is_dir() and any(driver.iterdir())) or wsl.exists()


def chosen_by_pip(lock: Path) -> dict[str, Any]:
    """The wheel of torch that pip takes as it is configured here: its entry in pip's report. Downloads no wheel."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--quiet", "--report", "-"]
    done = subprocess.run([*command, "--constraint", str(lock), "torch"], check=False, capture_output=True, text=True)
    if done.returncode:
        return {}  # the installation itself says what is wrong
    return dict(next(iter(json.loads(done.stdout)["install"]), {}))


def is_cuda(wheel: Mapping[str, Any]) -> bool:
    """Whether the wheel brings CUDA's libraries along."""
    return any(_CUDA.match(need) for need in wheel.get("metadata", {}).get("requires_dist", ()))


def advice(wheel: Mapping[str, Any], *, gpu: bool) -> str | None:
    """One line for a person, where the build and the machine do not match."""
    if not wheel or is_cuda(wheel) == gpu:
        return None
    if gpu:
        return "Note: there is an NVIDIA GPU, but pip is configured to take the CPU build of torch."
    return (
        "Note: there is no NVIDIA GPU, but pip takes the CUDA build of torch, 2.5 GB more. For the CPU build, stop "
        "and set PIP_EXTRA_INDEX_URL to the CPU index that PyTorch's installation page names."
    )


def note(lock: Path, platform: str = sys.platform) -> str | None:
    """The advice for this machine, before torch is installed on it."""
    if platform != "linux" or any(metadata.distributions(name="torch")):
        return None
    return advice(chosen_by_pip(lock), gpu=nvidia_gpu())
