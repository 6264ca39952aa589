"""What a model's files say of it before its first start: its context, its vectors, its quantization and its voices."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.config import ModelSpec
from contract.status import ModelFacts
from manager.models.weights import locate

_MAX_BYTES = 4 * 2**20
"""A larger file is no configuration."""


def facts_of(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> ModelFacts:
    """The facts in the model's files on this machine, as the entry's options change them. Raises nothing."""
    folder = None if spec.engine == "command" else _folder(spec, environ)
    config, pooling = _read(folder, "config.json"), _read(folder, "1_Pooling/config.json")
    sentence = _read(folder, "sentence_bert_config.json")  # an embedding model may be held to less than its positions
    inner = config.get("text_config")
    text: dict[str, Any] = inner if isinstance(inner, dict) else {}
    context = _number(text.get("max_position_embeddings")) or _number(config.get("max_position_embeddings"))
    known = (context, _number(sentence.get("max_seq_length")), _number(spec.options.get("context")))
    limits = [limit for limit in known if limit is not None]
    return ModelFacts(
        context_length=min(limits, default=None),
        dimensions=_number(pooling.get("word_embedding_dimension")),
        quantization=spec.options.get("quantization") or _quantization(config) or _quantization(text),
        voices=_voices(spec, folder, config),
    )


def _folder(spec: ModelSpec, environ: Mapping[str, str]) -> Path | None:
    try:
        path = locate(spec, environ)
    except OSError:  # a folder that this user may not read
        return None
    return path if path and path.is_dir() else None


def _read(folder: Path | None, name: str) -> dict[str, Any]:
    """A JSON object in a file of the folder; empty if there is none."""
    if folder is None:
        return {}
    path = folder / name
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _voices(spec: ModelSpec, folder: Path | None, config: Mapping[str, Any]) -> list[str] | None:
    """The names of voices: the numbers of VITS' speakers, or the files of Kokoro's; the entry's own names come last."""
    if config.get("model_type") == "vits":
        speakers = _number(config.get("num_speakers")) or 1
        names = [str(number) for number in range(speakers)] if speakers > 1 else ["default"]
    else:
        names = sorted(file.stem for file in folder.glob("voices/*.bin")) if folder else []
    aliases = spec.options.get("voices")
    own = [str(name) for name in aliases] if isinstance(aliases, dict) else []
    return list(dict.fromkeys([*names, *own])) or None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _quantization(config: Mapping[str, Any]) -> str | None:
    """The weights' quantization, such as `awq 4bit`: transformers' form, or mlx's, which has only bits."""
    settings = config.get("quantization_config") or config.get("quantization")
    if not isinstance(settings, dict):
        return None
    bits = 4 if settings.get("load_in_4bit") else 8 if settings.get("load_in_8bit") else settings.get("bits")
    words = (settings.get("quant_method"), f"{bits}bit" if bits else None)
    return " ".join(str(word)[:64] for word in words if word) or None
