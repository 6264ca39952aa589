"""Speech models in the layout that mlx-audio reads, whose library fixes their windows and numbers of tokens."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

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
_PHONEMES = 62
"""Of a sentence."""


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


def build_mlx_kokoro(folder: Path) -> None:
    """Kokoro with few layers and short sentences; the library fixes the widths of its decoder."""
    import mlx.core as mx
    from kokoro_onnx.config import DEFAULT_VOCAB
    from mlx.utils import tree_flatten
    from mlx_audio.tts.models.kokoro.kokoro import Model, ModelConfig

    config = {
        "istftnet": {
            "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3, 5]], "upsample_rates": [2, 2],
            "upsample_kernel_sizes": [4, 4], "upsample_initial_channel": 512, "gen_istft_n_fft": 20,
            "gen_istft_hop_size": 5,
        },
        "plbert": {
            "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64,
            "max_position_embeddings": _PHONEMES + 2,
        },
        "dim_in": 64, "dropout": 0.0, "hidden_dim": 512, "max_conv_dim": 512, "max_dur": 3, "multispeaker": True,
        "n_layer": 1, "n_mels": 80, "n_token": 178, "style_dim": 128, "text_encoder_kernel_size": 3,
        "vocab": DEFAULT_VOCAB,
    }  # fmt: skip
    mx.random.seed(6)
    model = Model(ModelConfig.from_dict(config))
    weights = {}
    for name, value in tree_flatten(model.parameters()):
        drawn = mx.random.normal(value.shape) * (0.05 if value.ndim > 1 else 0.02)
        weights[name] = (1 + drawn if "norm" in name.lower() and name.endswith("weight") else drawn).astype(mx.float16)
    (folder / "voices").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    files = {name: _as_saved(model, name, value) for name, value in weights.items()}
    mx.save_safetensors(str(folder / "kokoro.safetensors"), files)
    for name in ("af_heart", "af_alloy", "bf_emma"):
        voice = mx.random.normal((_PHONEMES, 1, 256))
        mx.save_safetensors(str(folder / "voices" / f"{name}.safetensors"), {"voice": voice})


def _as_saved(model: Any, name: str, value: Any) -> Any:
    """A weight in the layout of the original files, where the library changes it while it loads."""
    [(_, loaded)] = model.sanitize({name: value}).items()
    return value if loaded.shape == value.shape else value.transpose(0, 2, 1)
