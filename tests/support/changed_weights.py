"""Copies of models with damaged weights, which compute NaN."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def without_numbers(source: Path, folder: Path) -> Path:
    """A copy of a model with NaN for all its weights, except its integers."""

    def poison(_: str, tensor: Any) -> None:
        if tensor.is_floating_point():
            tensor.fill_(math.nan)

    return changed(source, folder, poison)


def without_a_letter(source: Path, folder: Path) -> Path:
    """A copy of a language model that computes NaN for texts with the letter Z, and numbers for all others."""
    vocabulary = json.loads((source / "tokenizer.json").read_text())["model"]["vocab"]

    def poison(name: str, tensor: Any) -> None:
        if name.endswith("embed_tokens.weight"):
            tensor[vocabulary["Z"]] = math.nan

    return changed(source, folder, poison)


def changed(source: Path, folder: Path, change: Callable[[str, Any], None]) -> Path:
    """A copy of a model, each of whose weights was changed in place."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder)
    files = list(folder.rglob("*.safetensors"))
    assert files
    for file in files:
        weights = load_file(file)
        for name, tensor in weights.items():
            change(name, tensor)
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata()
        save_file(weights, file, metadata)
    return folder
