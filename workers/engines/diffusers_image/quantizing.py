"""Chooses which parts of a pipeline are quantised, and the library: bitsandbytes on CUDA, torchao elsewhere."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from contract.errors import LoadFailed
from workers.engine import Device
from workers.toolkit.pretrained import Quantization, require_quantizer

_PARTS = ("transformer", "transformer_2", "unet", "prior", "text_encoder", "text_encoder_2", "text_encoder_3")
"""Denoisers and text encoders. The other parts are small, and autoencoders lose quality."""


def pipeline_config(index: Mapping[str, Any], device: Device, bits: Quantization) -> Any:
    """diffusers' configuration for a whole pipeline. `index` is its model_index.json. Raises LoadFailed."""
    from diffusers import PipelineQuantizationConfig

    libraries = {name: index[name][0] for name in _PARTS if index.get(name, (None,))[0]}
    mapping = {
        name: part_config(device, bits, "transformers" if library == "transformers" else "diffusers")
        for name, library in libraries.items()
    }
    return PipelineQuantizationConfig(quant_mapping=mapping)


def quantize_parts(parts: Mapping[str, Any], bits: Quantization) -> None:
    """Quantise the parts of a pipeline after loading, as single files need it. Raises LoadFailed."""
    if bits == "4bit":
        raise LoadFailed(
            "`options.quantization: 4bit` works for folders and hub ids, not for a single file. Write 8bit, leave it "
            "out, or name a file whose weights are quantised already (.gguf)."
        )
    require_quantizer("torchao", bits)
    from torchao.quantization import quantize_

    for name in _PARTS:
        if parts.get(name) is not None:
            quantize_(parts[name], _eight_bits())


def part_config(device: Device, bits: Quantization, library: str = "diffusers") -> Any:
    """The configuration of diffusers or transformers for one part. Raises LoadFailed if the device has none."""
    import torch

    if bits == "4bit" and device.kind != "cuda":
        raise LoadFailed(
            f"`options.quantization: 4bit` works for image models on CUDA, not on {device.kind}. Write 8bit, leave it "
            "out, or name a file whose weights are quantised already (.gguf)."
        )
    require_quantizer("bitsandbytes" if device.kind == "cuda" else "torchao", bits)
    configs = importlib.import_module(library)
    if device.kind != "cuda":
        return configs.TorchAoConfig(_eight_bits())
    if bits == "8bit":
        return configs.BitsAndBytesConfig(load_in_8bit=True)
    compute_dtype = getattr(torch, device.dtype)
    return configs.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute_dtype
    )


def _eight_bits() -> Any:
    from torchao.quantization import Int8WeightOnlyConfig

    return Int8WeightOnlyConfig(version=2, set_inductor_config=False)
