"""Repositories for the hub on this machine, and clients of it: this process's own, and the environment of others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import huggingface_hub.constants
import pytest

from scripts.testbed import hub

MODEL = ("config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "model.fp16.safetensors")
"""A model in several formats, of which an engine reads one."""


def make(folder: Path, repositories: Mapping[str, tuple[str, ...]]) -> dict[str, Path]:
    """Write files of 200 kB for each repository. Returns their folders by name."""
    for name, files in repositories.items():
        for file in files:
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / file).write_bytes((f"{name} {file} ".encode() * 20_000)[:200_000])
    return {name: folder / name for name in repositories}


def environment(served: hub.Hub, cache: Path) -> dict[str, str]:
    """The environment of a process that downloads from this hub into this folder, and waits for it patiently."""
    others = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "", "HF_TOKEN": ""}
    return {"HF_ENDPOINT": served.url, "HF_HOME": str(cache), "HF_HUB_DOWNLOAD_TIMEOUT": "600", **others}


def use_in_this_process(served: hub.Hub, cache: Path, patch: pytest.MonkeyPatch) -> None:
    """Have the hub's client of this process use this hub, and `cache / "hub"`."""
    patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache / "hub"))
    patch.setattr(huggingface_hub.constants, "ENDPOINT", served.url)
    url = served.url + "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
