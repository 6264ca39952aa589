"""FLUX.1 for mflux with small networks in place of its own, whose sizes are fixed in their code.

Everything else is mflux's: its loop, schedules, callbacks and tokenizers, and how it saves and loads.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.demo_models.image import clip_tokenizer
from scripts.testbed.models.diffusion import t5_tokenizer

WIDTH = 64
"""The group size of quantised weights."""


def build_mflux_schnell(folder: Path) -> None:
    """FLUX.1-schnell, for few steps and without guidance."""
    _save(folder, "schnell")


def build_mflux_dev(folder: Path) -> None:
    """FLUX.1-dev, with guidance."""
    _save(folder, "dev")


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make mflux create small networks instead of its own."""
    from mflux.models.flux import flux_initializer

    for name, network in zip(("Transformer", "VAE", "T5Encoder", "CLIPEncoder"), _networks(), strict=True):
        patch.setattr(flux_initializer, name, network)


def _save(folder: Path, name: str) -> None:
    """Save a model in the way of `mflux-save`."""
    import mlx.core as mx
    from mflux.models.common.config.model_config import ModelConfig
    from mflux.models.common.tokenizer import LanguageTokenizer
    from mflux.models.flux.flux_initializer import FluxInitializer
    from mflux.models.flux.variants.txt2img.flux import Flux1
    from mlx import nn

    mx.random.seed(1)
    flux = Flux1.__new__(Flux1)
    nn.Module.__init__(flux)
    config = getattr(ModelConfig, name)()
    FluxInitializer._init_config(flux, config)
    transformer, vae, t5, clip = _networks()
    flux.transformer, flux.vae = transformer(config), vae()
    flux.t5_text_encoder, flux.clip_text_encoder = t5(), clip()
    flux.tokenizers = {"clip": LanguageTokenizer(clip_tokenizer()), "t5": LanguageTokenizer(t5_tokenizer())}
    flux.bits = None
    flux.set_dtype(ModelConfig.precision)
    flux.save_model(str(folder))


def _networks() -> tuple[Callable[..., Any], ...]:
    """The transformer, the VAE, T5 and CLIP: a few layers each, with the interface of mflux's classes."""
    import mlx.core as mx
    from mlx import nn

    class Embedders(nn.Module):  # type: ignore[misc]
        def __init__(self, guided: bool) -> None:
            super().__init__()
            self.text_embedder = nn.Linear(WIDTH, 64)
            if guided:
                self.guidance_embedder = nn.Linear(WIDTH, 64)

    class Transformer(nn.Module):  # type: ignore[misc]
        def __init__(self, model_config: Any, **blocks: int) -> None:
            super().__init__()
            self.time_text_embed = Embedders(model_config.supports_guidance)
            self.transformer_blocks = [nn.Linear(64, 64)]
            self.single_transformer_blocks = [nn.Linear(WIDTH, 64)]

        def __call__(
            self, t: int, config: Any, hidden_states: Any, prompt_embeds: Any, pooled_prompt_embeds: Any
        ) -> Any:
            conditioning = self.time_text_embed.text_embedder(pooled_prompt_embeds)[:, None]
            if "guidance_embedder" in self.time_text_embed:
                conditioning = conditioning + self.time_text_embed.guidance_embedder(
                    mx.full((1, WIDTH), config.guidance)
                )
            text = self.single_transformer_blocks[0](prompt_embeds).mean(1, keepdims=True)
            return mx.tanh(self.transformer_blocks[0](hidden_states) + conditioning + text) * (t + 1)

    class VAE(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Conv2d(16, 3, 1)

        def decode(self, latents: Any) -> Any:
            pixels = mx.tanh(self.out(latents.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
            return mx.repeat(mx.repeat(pixels, 8, axis=2), 8, axis=3)

    return Transformer, VAE, *_encoders()


def _encoders() -> tuple[Callable[..., Any], ...]:
    from mlx import nn

    class T5Encoder(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Embedding(1024, WIDTH)

        def __call__(self, tokens: Any) -> Any:
            return self.shared(tokens)

    class CLIPEncoder(T5Encoder):
        def __call__(self, tokens: Any) -> Any:
            return super().__call__(tokens).mean(1)

    return T5Encoder, CLIPEncoder
