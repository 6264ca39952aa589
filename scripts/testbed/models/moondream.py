"""Moondream: a folder with weights and the code that runs them, as on the hub."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

from scripts.demo_models.weights import spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

CODE = Path(__file__).parent / "remote" / "moondream_tiny.py"


def build_moondream(folder: Path) -> None:
    """Two files of weights, the code, and a configuration that names the code's classes."""
    from safetensors.torch import save_file

    weights = moondream().state_dict()
    names = sorted(weights)
    for number, shard in enumerate((names[::2], names[1::2]), start=1):
        file = folder / f"model-{number:05}-of-00002.safetensors"
        save_file({name: weights[name].contiguous() for name in shard}, file, metadata={"format": "pt"})
    shutil.copy(CODE, folder)
    (folder / "config.json").write_text(
        json.dumps(
            {
                "architectures": ["MoondreamTiny"],
                "auto_map": {
                    "AutoConfig": "moondream_tiny.TinyConfig",
                    "AutoModelForCausalLM": "moondream_tiny.MoondreamTiny",
                },
                "config": {},
                "model_type": "moondream1",
                "torch_dtype": "bfloat16",
            }
        )
    )


def moondream() -> Any:
    """The model as its own code creates it, with the same weights as the folder."""
    spec = importlib.util.spec_from_file_location(CODE.stem, CODE)
    assert spec
    assert spec.loader
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    return spread(code.MoondreamTiny(code.TinyConfig()), matrices=0.4)
