"""Diffusion families: Stable Diffusion and FLUX pipelines with a few thousand random weights each."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.image import TEXT_WIDTH, autoencoder, clip_text_encoder, clip_tokenizer, stable_diffusion

importlib.import_module("workers.torchvision_shim")  # before transformers


def build_sd(folder: Path) -> None:
    """Stable Diffusion 1: one CLIP encoder, a UNet, guidance and a negative prompt; its own picture is 64 x 64."""
    stable_diffusion(sample_size=8).save_pretrained(folder)


def build_flux(folder: Path) -> None:
    """FLUX.1-dev: CLIP and T5 encoders, a transformer with embedded guidance; sizes are multiples of 16."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

    torch.manual_seed(0)
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    vae = autoencoder(
        channels=1, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609, scaling_factor=1.5035
    )
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=vae,
        text_encoder=clip_text_encoder(clip),
        tokenizer=clip,
        text_encoder_2=t5_encoder(t5),
        tokenizer_2=t5,
        transformer=flux_transformer(),
    ).save_pretrained(folder)


def flux_transformer() -> Any:
    """One double and one single block, over latents of one channel in patches of two by two."""
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )


def t5_tokenizer() -> Any:
    """T5's tokenizer in which every printable ASCII character is a piece."""
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(chr(code), -3.0) for code in range(33, 127)]
    return T5Tokenizer(vocab=pieces, extra_ids=0, additional_special_tokens=[], model_max_length=512)


def t5_encoder(tokenizer: Any) -> Any:
    """A T5 encoder for that tokenizer."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(tokenizer), d_model=TEXT_WIDTH, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    return T5EncoderModel(config)
