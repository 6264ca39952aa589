"""Builds large models with random weights on the GPU: `python -m scripts.bench.big_models FOLDER [KIND ...]`."""

from __future__ import annotations

import importlib
import itertools
import string
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.demo_models.image import clip_tokenizer
from scripts.demo_models.tokenizers import ENDS, byte_level, chat_template
from scripts.testbed.models.sentences import word_pieces

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers


def build(folder: Path, kind: str) -> Path:
    """Build `folder`/`kind` unless it is complete, and return its path."""
    path = folder / kind
    complete = folder / f"{kind}.complete"
    if not complete.exists():
        path.mkdir(parents=True, exist_ok=True)
        KINDS[kind](path)
        complete.touch()
    return path


def _chat(folder: Path) -> None:
    """The shape of Qwen2.5-7B: 7.6 billion weights, 15.2 GB in bfloat16."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    pieces = itertools.islice(itertools.product(string.ascii_letters + string.digits, repeat=3), 151_000)
    tokens = byte_level(
        ENDS, ("".join(letters).encode() for letters in pieces),
        eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=chat_template(),
    )  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 1e6}
    config = Qwen2Config(
        vocab_size=152_064, hidden_size=3584, intermediate_size=18_944, num_hidden_layers=28, num_attention_heads=28,
        num_key_value_heads=4, max_position_embeddings=32_768, tie_word_embeddings=False, dtype="bfloat16",
        bos_token_id=None, rope_parameters=rope,
        eos_token_id=tokens.eos_token_id, pad_token_id=tokens.pad_token_id,
    )  # fmt: skip
    with torch.device("cuda"):
        model = Qwen2ForCausalLM._from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)


def _image(folder: Path) -> None:
    """The shape of Stable Diffusion XL: 3.5 billion weights, 7 GB in bfloat16."""
    import torch
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = clip_tokenizer()
    with torch.device("cuda"):
        unet = UNet2DConditionModel(
            sample_size=128, block_out_channels=(320, 640, 1280), layers_per_block=2, cross_attention_dim=2048,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 10), attention_head_dim=(5, 10, 20), use_linear_projection=True,
            addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
        )  # fmt: skip
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4, sample_size=1024,
            up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=4, scaling_factor=0.13025,
        )  # fmt: skip
        small = CLIPTextModel(_clip(tokenizer, 768, 12))
        large = CLIPTextModelWithProjection(_clip(tokenizer, 1280, 32))
    scheduler = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    StableDiffusionXLPipeline(
        vae=vae.to(torch.bfloat16), unet=unet.to(torch.bfloat16), scheduler=scheduler, tokenizer=tokenizer,
        tokenizer_2=tokenizer, text_encoder=small.to(torch.bfloat16), text_encoder_2=large.to(torch.bfloat16),
    ).save_pretrained(folder)  # fmt: skip


def _clip(tokenizer: Any, width: int, layers: int) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
        num_attention_heads=width // 64, projection_dim=width, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def _embeddings(folder: Path) -> None:
    """The shape of bge-large: 0.3 billion weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel

    tokenizer, width = word_pieces(), 1024
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=24, num_attention_heads=16,
        intermediate_size=4 * width, max_position_embeddings=512,
    )  # fmt: skip
    plain = folder / "transformer"
    BertModel(config).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(width, pooling_mode="cls"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))


KINDS: dict[str, Callable[[Path], None]] = {"chat": _chat, "image": _image, "embeddings": _embeddings}

if __name__ == "__main__":
    for name in sys.argv[2:] or KINDS:
        print(build(Path(sys.argv[1]), name), flush=True)
