"""Chat and embedding models in the layout that MLX's libraries read.

The weights are those of the models of the same name in `chat` and `sentences`, so that results can be compared.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.testbed.models import chat, chat_qwen, sentences

Config = dict[str, Any]


def build_mlx_lm(folder: Path) -> None:
    """Qwen2."""
    _build(folder, chat.build_lm, _theta)


def build_mlx_llama(folder: Path) -> None:
    """Llama."""
    _build(folder, chat.build_llama, _theta)


def build_mlx_qwen2_5_vl(folder: Path) -> None:
    """Qwen2.5-VL: the language model's settings are at the top level."""

    def flat(config: Config) -> None:
        text = config.pop("text_config")
        rope = text.pop("rope_parameters")
        del text["model_type"]
        config |= {name: value for name, value in text.items() if name not in config}
        config["rope_theta"] = rope["rope_theta"]
        config["rope_scaling"] = {"type": "mrope", "rope_type": "default", "mrope_section": rope["mrope_section"]}
        config["vision_config"]["model_type"] = "qwen2_5_vl"

    _build(folder, chat_qwen.build_qwen2_5_vl, flat)


def build_mlx_smolvlm(folder: Path) -> None:
    """SmolVLM."""
    _build(folder, chat.build_smolvlm, lambda config: _theta(config["text_config"]))


def build_mlx_idefics3(folder: Path) -> None:
    """Idefics3."""
    _build(folder, chat.build_idefics3, lambda config: _theta(config["text_config"]))


def build_mlx_llava(folder: Path) -> None:
    """LLaVA: the names of its vision tower's weights have one more part."""
    _build(folder, chat.build_llava, lambda config: _theta(config["text_config"]))
    _rename(folder, lambda name: name.replace("vision_tower.", "vision_tower.vision_model."))


def build_mlx_minilm(folder: Path) -> None:
    """MiniLM, without the second copy of its weights."""
    sentences.build_minilm(folder)
    shutil.rmtree(folder / "transformer")


def build_mlx_bge(folder: Path) -> None:
    """bge, with CLS pooling."""
    sentences.build_bge(folder)
    shutil.rmtree(folder / "transformer")


def _theta(config: Config) -> None:
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]


def _build(folder: Path, build: Callable[[Path], None], change: Callable[[Config], None]) -> None:
    build(folder)
    file = folder / "config.json"
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))


def _rename(folder: Path, name: Callable[[str], str]) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    save_file({name(old): tensor for old, tensor in load_file(file).items()}, file, {"format": "pt"})
