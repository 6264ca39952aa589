"""Speech models in the layout that mlx-audio reads, whose library fixes their windows and numbers of tokens."""

from __future__ import annotations

import importlib
from pathlib import Path

from scripts.demo_models.tokenizers import byte_level
from scripts.demo_models.weights import spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

_TIMES = tuple(f"<|{hundredths / 100:.2f}|>" for hundredths in range(0, 3001, 2))
_TASKS = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
_WORDS = 50_257 - 256
"""Tokens of OpenAI's models beside those of single bytes."""
_MELS = 16
_LENGTH = 32
"""Tokens of a prompt and an answer."""


def build_mlx_whisper(folder: Path) -> None:
    """Whisper with all languages, 30 seconds of sound and 51,865 tokens, whose words are numbers."""
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    end, start = "<|endoftext|>", "<|startoftranscript|>"
    languages = list(LANGUAGES)[:99]
    specials = [start, *(f"<|{name}|>" for name in (*languages, *_TASKS)), *_TIMES]
    plain = byte_level([end, *specials], pieces=[b" %d" % number for number in range(_WORDS)])
    tokenizer = WhisperTokenizer(
        tokenizer_object=plain.backend_tokenizer, unk_token=end, bos_token=end, eos_token=end, pad_token=end,
        additional_special_tokens=specials[: -len(_TIMES)],
    )  # fmt: skip
    config = WhisperConfig(
        vocab_size=len(plain), num_mel_bins=_MELS, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=128, decoder_ffn_dim=128,
        max_source_positions=1500, max_target_positions=_LENGTH,
    )  # fmt: skip
    model = spread(WhisperForConditionalGeneration(config), matrices=0.6, seed=4)
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=_MELS), tokenizer).save_pretrained(folder)
