"""Importing this module loads and runs tiny models once, so that a standby has done what is slow the first time.

It runs on the CPU, whatever device the process will get, and touches no GPU memory.
"""

from __future__ import annotations

import tempfile

import torch
from diffusers import AutoencoderKL
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel
from transformers.utils import logging


def run() -> None:
    """Save, load and run a tiny text encoder and a tiny decoder, without progress bars in the log."""
    bars_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            _load_text_encoder(folder)
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            _load_decoder(folder)
        Image.preinit()  # Pillow's writers for PNG and others, else imported with the first image
    finally:
        if bars_enabled:
            logging.enable_progress_bar()


def _load_text_encoder(folder: str) -> None:
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPTextConfig(vocab_size=4, projection_dim=16, bos_token_id=1, eos_token_id=2, pad_token_id=2, **shape)
    CLIPTextModel(config).save_pretrained(folder)
    CLIPTextModel.from_pretrained(folder)(torch.tensor([[1, 0, 2]]))


def _load_decoder(folder: str) -> None:
    AutoencoderKL(block_out_channels=(4,), norm_num_groups=2).save_pretrained(folder)
    AutoencoderKL.from_pretrained(folder).decode(torch.zeros(1, 4, 8, 8))


run()
