"""The tiny Stable Diffusion as a single file, with the original names of its weights (CompVis)."""

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
    r"up_blocks\.(\d)\.resnets": lambda match: f"up.{3 - int(match[1])}.block",  # counted from the other end
    r"up_blocks\.(\d)\.upsamplers\.0": lambda match: f"up.{3 - int(match[1])}.upsample",
    r"mid_block\.resnets\.(\d)": lambda match: f"mid.block_{int(match[1]) + 1}",
}


def build_sd_file(folder: Path) -> None:
    """`model.safetensors` and `model.ckpt`: the weights of the model `sd`, without its configurations."""
    import torch
    from safetensors.torch import save_file

    weights = with_original_names(stable_diffusion(sample_size=8))
    save_file(weights, folder / "model.safetensors")
    torch.save({"state_dict": weights, "global_step": 1000}, folder / "model.ckpt")


def with_original_names(pipe: Any) -> dict[str, Any]:
    """All weights of a Stable Diffusion pipeline in one dictionary, under their original names."""
    layers = pipe.unet.config.layers_per_block + 1
    weights = {
        f"model.diffusion_model.{_unet_name(name, layers)}": value for name, value in pipe.unet.state_dict().items()
    }
    for name, value in pipe.vae.state_dict().items():
        original = _vae_name(name)
        is_projection = ".mid.attn_1." in original and value.ndim == 2
        weights[f"first_stage_model.{original}"] = (
            value[:, :, None, None] if is_projection else value
        )  # 1 x 1 convolutions
    prefix = "cond_stage_model.transformer.text_model."
    weights |= {prefix + name.removeprefix("text_model."): v for name, v in pipe.text_encoder.state_dict().items()}
    return {name: value.contiguous().clone() for name, value in weights.items()}


def _unet_name(name: str, layers: int) -> str:
    for diffusers_name, original_name in _UNET_ENDS.items():
        if name.startswith(f"{diffusers_name}."):
            return name.replace(diffusers_name, original_name, 1)
    if match := re.match(r"(down|up)_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name):
        direction, block, module, layer, rest = match.groups()
        number = int(block) * layers + int(layer)
        prefix = f"input_blocks.{number + 1}" if direction == "down" else f"output_blocks.{number}"
        return f"{prefix}.0.{_resnet_name(rest)}" if module == "resnets" else f"{prefix}.1.{rest}"
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        module, layer, rest = match.groups()
        return (
            f"middle_block.{int(layer) * 2}.{_resnet_name(rest)}" if module == "resnets" else f"middle_block.1.{rest}"
        )
    match = re.match(r"(down|up)_blocks\.(\d)\.(?:down|up)samplers\.0\.conv\.(.*)", name)
    assert match, name
    direction, block, rest = match.groups()
    number = int(block) * layers + layers - 1
    return f"input_blocks.{number + 1}.0.op.{rest}" if direction == "down" else f"output_blocks.{number}.2.conv.{rest}"


def _resnet_name(name: str) -> str:
    first, _, rest = name.partition(".")
    return f"{_RESNET[first]}.{rest}"


def _vae_name(name: str) -> str:
    for diffusers_name, original_name in _VAE.items():
        name = re.sub(diffusers_name, original_name, name)
    return name
