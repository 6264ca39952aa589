"""Warns when pip would install a build of torch that does not suit the machine, such as CUDA without an NVIDIA GPU."""

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


def has_nvidia_gpu(driver: Path = _DRIVER, wsl: Path = _WSL) -> bool:
    """Whether NVIDIA's kernel driver lists a GPU, or Windows shares one with this Linux (WSL)."""
    return (driver.is_dir() and any(driver.iterdir())) or wsl.exists()


def wheel_for_pip(lock: Path) -> dict[str, Any]:
    """The wheel of torch that pip would install with its present configuration: an entry of pip's installation report.

    Empty if pip fails. Downloads no wheel. See https://pip.pypa.io/en/stable/reference/installation-report/.
    """
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--quiet", "--report", "-"]
    process = subprocess.run(
        [*command, "--constraint", str(lock), "torch"], check=False, capture_output=True, text=True
    )
    if process.returncode:
        return {}  # the installation that follows shows the error
    return dict(next(iter(json.loads(process.stdout)["install"]), {}))


def is_cuda_build(wheel: Mapping[str, Any]) -> bool:
    """Whether the wheel depends on CUDA's libraries."""
    return any(_CUDA.match(requirement) for requirement in wheel.get("metadata", {}).get("requires_dist", ()))


def mismatch_warning(wheel: Mapping[str, Any], *, gpu: bool) -> str | None:
    """A warning for the user if the build does not match the machine."""
    if not wheel or is_cuda_build(wheel) == gpu:
        return None
    if gpu:
        return "Warning: this machine has an NVIDIA GPU, but pip is configured to install the CPU build of torch."
    return (
        "Warning: this machine has no NVIDIA GPU, but pip installs the CUDA build of torch, which is 2.5 GB larger. "
        "For the CPU build, press Ctrl-C and set PIP_EXTRA_INDEX_URL to the CPU index on PyTorch's installation page."
    )


def warning_for_this_machine(lock: Path, platform: str = sys.platform) -> str | None:
    """The warning for this machine. None if torch is already installed: pip keeps the build that is there."""
    if platform != "linux" or any(metadata.distributions(name="torch")):
        return None
    return mismatch_warning(wheel_for_pip(lock), gpu=has_nvidia_gpu())
