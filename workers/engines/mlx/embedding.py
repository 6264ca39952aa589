"""Embeddings of texts with mlx-vlm's models: MiniLM, bge, e5 (BERT, XLM-RoBERTa), ModernBERT, Qwen3, Gemma."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np

from contract.errors import UnsupportedFeature
from contract.tasks.embeddings import EmbeddingsRequest
from workers.engine import Call, Output
from workers.engines.mlx.loading import MlxCheckpoint
from workers.engines.mlx.options import MlxOptions
from workers.toolkit.embedding import Embedded, EmbeddingBatcher, EmbeddingInput, text_too_long


class MlxEmbedding:
    """A loaded embedding model. Its vectors have length one, and are pooled as the folder's `1_Pooling` says."""

    def __init__(self, checkpoint: MlxCheckpoint, model: Any, tokenizer: Any, options: MlxOptions) -> None:
        self._name = checkpoint.spec.id
        self._model = model
        self._tokenizer = tokenizer
        self._truncate = options.truncate
        self._max_tokens = _max_tokens(checkpoint, tokenizer)
        self._prompt = _default_prompt(checkpoint)
        self.dimensions = len(self._forward([self._tokens("a")])[0])
        self._batcher = EmbeddingBatcher(self._name, self.dimensions, options.batch_size)

    def run(self, calls: list[Call[EmbeddingsRequest]]) -> Iterator[tuple[Call[EmbeddingsRequest], Output]]:
        """Embed the calls' texts."""
        yield from self._batcher.answer(calls, self._check, self._prepare, self._embed)

    def _check(self, request: EmbeddingsRequest) -> None:
        if request.required_features():
            raise UnsupportedFeature(f"{self._name} embeds texts only: no token ids and no images.", param="input")

    def _prepare(self, item: EmbeddingInput) -> list[int]:
        """The text's token ids. Raises ContextTooLong."""
        tokens = self._tokens(str(item.content), is_cut=item.is_cut(bool(self._truncate)))
        if self._max_tokens and len(tokens) > self._max_tokens:
            raise text_too_long(self._name, item.position, len(tokens), self._max_tokens)
        return tokens

    def _embed(self, inputs: list[EmbeddingInput]) -> list[Embedded]:
        """One forward pass."""
        vectors = self._forward([item.prepared for item in inputs])
        return [
            Embedded(vector, len(item.prepared), is_cut=self._is_cut(item))
            for item, vector in zip(inputs, vectors, strict=True)
        ]

    def _is_cut(self, item: EmbeddingInput) -> bool:
        full = len(item.prepared) == self._max_tokens
        return full and len(self._tokens(str(item.content), is_cut=False)) > len(item.prepared)

    def _tokens(self, text: str, *, is_cut: bool = True) -> list[int]:
        cut = {"truncation": True, "max_length": self._max_tokens} if is_cut and self._max_tokens else {}
        tokens: list[int] = self._tokenizer(self._prompt + text, verbose=False, **cut)["input_ids"]
        return tokens

    def _forward(self, rows: list[list[int]]) -> Any:
        """Vectors of rows of token ids, as numpy float32 of shape (rows, dimensions)."""
        padded = self._tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="np")
        output = self._model(mx.array(padded["input_ids"]), attention_mask=mx.array(padded["attention_mask"]))
        return np.array(output.text_embeds.astype(mx.float32))


def _max_tokens(checkpoint: MlxCheckpoint, tokenizer: Any) -> int | None:
    """The longest text that the model reads, as its folder says, else its tokenizer, else its config."""
    configured = checkpoint.read("sentence_bert_config.json").get("max_seq_length")
    known = tokenizer.model_max_length if tokenizer.model_max_length < 10**9 else None  # 10**30 means unknown
    limit: int | None = configured or known or checkpoint.config.get("max_position_embeddings")
    return limit


def _default_prompt(checkpoint: MlxCheckpoint) -> str:
    """The text that the model's folder wants before every input by default; often empty."""
    config = checkpoint.read("config_sentence_transformers.json")
    return str((config.get("prompts") or {}).get(config.get("default_prompt_name")) or "")
