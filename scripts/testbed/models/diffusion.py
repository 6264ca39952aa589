"""Diffusion pipelines: Stable Diffusion, FLUX and PixArt with a few thousand random weights each."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.image import TEXT_WIDTH, autoencoder, clip_text_encoder, clip_tokenizer, stable_diffusion

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers


def build_sd(folder: Path) -> None:
    """Stable Diffusion 1: a CLIP encoder, a UNet, guidance and a negative prompt; its native size is 64 x 64."""
    stable_diffusion(sample_size=8).save_pretrained(folder)


def build_sd_256(folder: Path) -> None:
    """Stable Diffusion 1 with a native size of 256 x 256, which also draws 512 x 512."""
    stable_diffusion(sample_size=32).save_pretrained(folder)


def build_sd_inpaint(folder: Path) -> None:
    """Stable Diffusion for inpainting: its UNet also sees the mask and the masked image."""
    from diffusers import StableDiffusionInpaintPipeline

    pipe = stable_diffusion(sample_size=8, in_channels=9)
    StableDiffusionInpaintPipeline(**pipe.components, requires_safety_checker=False).save_pretrained(folder)


def build_flux(folder: Path) -> None:
    """FLUX.1-dev: CLIP and T5 encoders, a transformer with embedded guidance; sizes are multiples of 16."""
    flux(guidance_embeds=True).save_pretrained(folder)


def build_flux_schnell(folder: Path) -> None:
    """FLUX.1-schnell: FLUX.1 for few steps, without guidance."""
    flux(guidance_embeds=False).save_pretrained(folder)


def flux(*, guidance_embeds: bool) -> Any:
    """A FLUX.1 pipeline."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

    torch.manual_seed(0)
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    vae = autoencoder(
        channels=1, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0609, scaling_factor=1.5035
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=vae,
        text_encoder=clip_text_encoder(clip),
        tokenizer=clip,
        text_encoder_2=t5_encoder(t5),
        tokenizer_2=t5,
        transformer=flux_transformer(guidance_embeds=guidance_embeds),
    )


def flux_transformer(*, guidance_embeds: bool) -> Any:
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
        guidance_embeds=guidance_embeds,
    )


def build_flux2_klein(folder: Path) -> None:
    """FLUX.2 klein: edits one or several images by instruction; a language model encodes the prompt."""
    import torch
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
    from diffusers import Flux2Transformer2DModel as Transformer

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 16, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=64,
        mid_block_add_attention=False,
    )  # fmt: skip
    transformer = Transformer(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=3 * TEXT_WIDTH, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )  # fmt: skip
    Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=vae,
        text_encoder=language_model(tokenizer),
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=True,
    ).save_pretrained(folder)


def build_pixart(folder: Path) -> None:
    """PixArt-alpha: text to image only, with a T5 encoder."""
    import torch
    from diffusers import DDIMScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel

    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    transformer = PixArtTransformer2DModel(
        sample_size=32, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=2, in_channels=4,
        cross_attention_dim=16, caption_channels=TEXT_WIDTH, out_channels=8,
    )  # fmt: skip
    PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer),
        vae=autoencoder(channels=4),
        transformer=transformer,
        scheduler=DDIMScheduler(),
    ).save_pretrained(folder)


def qwen_tokenizer() -> Any:
    """A byte-level tokenizer of Qwen's class with a minimal chat template."""
    from tokenizers import pre_tokenizers
    from transformers import Qwen2TokenizerFast

    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<|endoftext|>"]
    tokenizer = Qwen2TokenizerFast(vocab={token: number for number, token in enumerate(tokens)}, merges=[])
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return tokenizer


def language_model(tokenizer: Any) -> Any:
    """A Qwen3 with 27 layers: the pipeline reads hidden states 9, 18 and 27."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=TEXT_WIDTH, intermediate_size=32, num_hidden_layers=27,
        num_attention_heads=2, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True,
    )  # fmt: skip
    return Qwen3ForCausalLM(config)


def t5_tokenizer() -> Any:
    """A T5 tokenizer in which every printable ASCII character is a piece."""
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
