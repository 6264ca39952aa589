"""Devices, their drivers, and libraries that do not match them or each other."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.util import find_spec

from packaging.markers import default_environment
from packaging.requirements import Requirement

from command.doctor.finding import Finding, Machine, fine, problem, warning
from scripts.packages.torch_build import has_nvidia_gpu


def device(_: Machine) -> Iterator[Finding]:
    """The GPU and its driver, and whether torch can use it. torch runs in another process: it may crash."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        yield fine("device", "Apple silicon, whose memory models and programs share")
        return
    has_gpu = has_nvidia_gpu()
    driver = _driver() if has_gpu else None
    if not has_gpu:
        yield fine("device", f"no NVIDIA GPU: models run on the CPU ({platform.machine()})")
    elif driver is None:
        yield problem("driver", "there is an NVIDIA GPU, but its driver does not answer", "nvidia-smi   # says why")
    else:
        yield fine("driver", f"NVIDIA driver {driver}")
    if find_spec("torch"):
        yield from _torch(has_gpu)


def libraries(_: Machine) -> Iterator[Finding]:
    """Installed packages that do not have the versions that Enginehouse needs."""
    wrong = list(mismatches())
    if wrong:
        names = " ".join(f"'{requirement}'" for requirement, _ in wrong)
        what = ", ".join(f"{requirement.name} {found} (needs {requirement.specifier})" for requirement, found in wrong)
        yield problem("libraries", what, f"{sys.executable} -m pip install {names}")
    else:
        yield fine("libraries", "all installed libraries have versions that Enginehouse supports")


def mismatches(requirements: Iterable[str] | None = None) -> Iterator[tuple[Requirement, str]]:
    """Requirements of all extras that an installed package does not meet, and its version."""
    if requirements is None:
        try:
            requirements = metadata.requires("enginehouse") or []
        except metadata.PackageNotFoundError:
            requirements = []
    seen = set()
    for requirement in map(Requirement, requirements):
        environment = {name: str(value) for name, value in default_environment().items()}
        extras = re.findall(r"extra == [\"']([^\"']+)", str(requirement.marker or "")) or [""]
        if requirement.marker and not any(requirement.marker.evaluate({**environment, "extra": e}) for e in extras):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            continue
        key = (requirement.name, str(requirement.specifier))
        if key not in seen and not requirement.specifier.contains(version, prereleases=True):
            seen.add(key)
            yield requirement, version


def _driver() -> str | None:
    """The version of NVIDIA's driver; None if it does not answer."""
    import pynvml

    try:
        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetDriverVersion()
        return version.decode() if isinstance(version, bytes) else str(version)
    except pynvml.NVMLError:
        return None


def _torch(has_gpu: bool) -> Iterator[Finding]:
    program = "import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it crashed"])[-1]
        yield problem(
            "torch", f"it cannot be imported: {last}", f"{sys.executable} -m pip install --force-reinstall torch"
        )
        return
    version, cuda, available = done.stdout.split()
    if has_gpu and cuda == "None":
        remedy = f"{sys.executable} -m pip install --force-reinstall torch   # with PyTorch's CUDA index"
        yield problem("torch", f"torch {version} is the CPU build, and cannot use the NVIDIA GPU", remedy)
    elif has_gpu and available == "False":
        yield problem("torch", f"torch {version} needs a newer driver for CUDA {cuda}", "update the NVIDIA driver")
    elif not has_gpu and cuda != "None":
        yield warning("torch", f"torch {version} is the CUDA build, 2.5 GB larger than the CPU build, without a GPU")
    else:
        yield fine("torch", f"torch {version}" + (f", CUDA {cuda}" if has_gpu else ", CPU build"))
