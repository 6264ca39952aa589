"""Builds a tiny Stable Diffusion with random weights: coloured noise that depends on prompt and seed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

TEXT_WIDTH = 32
"""Width of the text encoder's hidden states, to which the denoiser attends."""


def clip_tokenizer() -> Any:
    """CLIP's tokenizer without merges: every byte is a token, with a variant for the end of a word. Reads 77 tokens."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(char + "</w>" for char in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=[], model_max_length=77)


def clip_text_encoder(tokenizer: Any) -> Any:
    """A CLIP text encoder for this tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def autoencoder(channels: int, **settings: Any) -> Any:
    """A VAE that decodes each latent, of `channels` values, to 8 x 8 pixels."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=channels,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=64,
        **settings,
    )


def denoiser(sample_size: int, in_channels: int = 4) -> Any:
    """A UNet with a native size of `sample_size` latents; it has `in_channels` inputs and 4 outputs."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=in_channels,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        layers_per_block=1,
        norm_num_groups=8,
    )


def stable_diffusion(sample_size: int = 16, in_channels: int = 4) -> Any:
    """A Stable Diffusion 1 pipeline with a native size of 8 x `sample_size` pixels."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return StableDiffusionPipeline(
        vae=autoencoder(channels=4),
        text_encoder=clip_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=denoiser(sample_size, in_channels),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def build(path: Path) -> None:
    """Save the demo model in `path`; its native size is 256 x 256 pixels."""
    importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers
    stable_diffusion(sample_size=32).save_pretrained(path)
