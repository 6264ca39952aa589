"""The tiny Stable Diffusion as one file, its weights named as in the model's first publication."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.demo_models.image import stable_diffusion

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE: dict[str, str | Callable[[re.Match[str]], str]] = {
    r"mid_block\.attentions\.0": "mid.attn_1",
    r"group_norm": "norm",
    r"to_([qkv])": r"\1",
    r"to_out\.0": "proj_out",
    r"conv_norm_out": "norm_out",
    r"conv_shortcut": "nin_shortcut",
    r"down_blocks\.(\d)\.resnets": r"down.\1.block",
    r"down_blocks\.(\d)\.downsamplers\.0": r"down.\1.downsample",
    r"up_blocks\.(\d)\.resnets": lambda found: f"up.{3 - int(found[1])}.block",  # they count from the picture's end
    r"up_blocks\.(\d)\.upsamplers\.0": lambda found: f"up.{3 - int(found[1])}.upsample",
    r"mid_block\.resnets\.(\d)": lambda found: f"mid.block_{int(found[1]) + 1}",
}


def build_sd_file(folder: Path) -> None:
    """`model.safetensors` and `model.ckpt`: the weights of the family `sd`, without its configurations."""
    import torch
    from safetensors.torch import save_file

    weights = in_first_names(stable_diffusion(sample_size=8))
    save_file(weights, folder / "model.safetensors")
    torch.save({"state_dict": weights, "global_step": 1000}, folder / "model.ckpt")


def in_first_names(pipe: Any) -> dict[str, Any]:
    """All weights of a Stable Diffusion pipeline in one dictionary."""
    layers = pipe.unet.config.layers_per_block + 1
    weights = {
        f"model.diffusion_model.{_of_unet(name, layers)}": value for name, value in pipe.unet.state_dict().items()
    }
    for name, value in pipe.vae.state_dict().items():
        called = _of_vae(name)
        is_projection = ".mid.attn_1." in called and value.ndim == 2
        weights[f"first_stage_model.{called}"] = (
            value[:, :, None, None] if is_projection else value
        )  # 1 x 1 convolutions
    prefix = "cond_stage_model.transformer.text_model."
    weights |= {prefix + name.removeprefix("text_model."): v for name, v in pipe.text_encoder.state_dict().items()}
    return {name: value.contiguous().clone() for name, value in weights.items()}


def _of_unet(name: str, layers: int) -> str:
    for ours, theirs in _UNET_ENDS.items():
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    if found := re.match(r"(down|up)_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name):
        way, block, kind, layer, rest = found.groups()
        number = int(block) * layers + int(layer)
        place = f"input_blocks.{number + 1}" if way == "down" else f"output_blocks.{number}"
        return f"{place}.0.{_of_resnet(rest)}" if kind == "resnets" else f"{place}.1.{rest}"
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        kind, layer, rest = found.groups()
        return f"middle_block.{int(layer) * 2}.{_of_resnet(rest)}" if kind == "resnets" else f"middle_block.1.{rest}"
    found = re.match(r"(down|up)_blocks\.(\d)\.(?:down|up)samplers\.0\.conv\.(.*)", name)
    assert found, name
    way, block, rest = found.groups()
    number = int(block) * layers + layers - 1
    return f"input_blocks.{number + 1}.0.op.{rest}" if way == "down" else f"output_blocks.{number}.2.conv.{rest}"


def _of_resnet(name: str) -> str:
    first, _, rest = name.partition(".")
    return f"{_RESNET[first]}.{rest}"


def _of_vae(name: str) -> str:
    for ours, theirs in _VAE.items():
        name = re.sub(ours, theirs, name)
    return name
