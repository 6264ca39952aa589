"""Texts to vectors with mlx-vlm's embedding models: MiniLM, bge, e5 (BERT, XLM-RoBERTa), ModernBERT, Qwen3, Gemma."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import numpy as np

from contract.errors import ContextTooLong, InvalidField, ServeError, UnsupportedFeature
from contract.tasks.embeddings import EmbeddingsRequest
from workers.engine import Call, Output
from workers.engines.mlx.loading import MlxCheckpoint
from workers.engines.sentence_transformers.job import EmbeddingJob

if TYPE_CHECKING:
    from workers.engines.mlx import MlxOptions


class Embedder:
    """A loaded embedding model. Its vectors have length one, and are pooled as the folder's `1_Pooling` says."""

    def __init__(self, found: MlxCheckpoint, model: Any, tokenizer: Any, options: MlxOptions) -> None:
        self._name = found.spec.id
        self._model = model
        self._tokenizer = tokenizer
        self._options = options
        self._limit = _limit(found, tokenizer)
        self._prompt = _prompt(found)
        self._size = len(self._forward([self._tokens("a")])[0])

    def run(self, calls: list[Call[EmbeddingsRequest]]) -> Iterator[tuple[Call[EmbeddingsRequest], Output]]:
        """Embed all calls' texts together, those of like length side by side; answer each call when it is whole."""
        jobs = [EmbeddingJob(call, call.request.inputs, error=self._refusal(call.request)) for call in calls]
        for job in jobs:
            if job.error:
                yield job.call, job.error
        open_jobs = [job for job in jobs if job.open]
        texts = [(job, position, text) for job in open_jobs for position, text in enumerate(job.call.request.texts)]
        texts.sort(key=lambda item: len(item[2]), reverse=True)
        for start in range(0, len(texts), self._options.batch_size):
            batch = [item for item in texts[start : start + self._options.batch_size] if item[0].open]
            self._embed(batch)
            for job in dict.fromkeys(job for job, _, _ in batch):
                job.call.progress(len(job.vectors), len(job.things))
                if not job.open and not job.call.cancelled:
                    yield job.call, job.error or job.answer(self._name)

    def _refusal(self, request: EmbeddingsRequest) -> ServeError | None:
        if request.required_features():
            return UnsupportedFeature(f"{self._name} reads texts alone: no token ids, and no pictures.", param="input")
        if request.dimensions is None or request.dimensions <= self._size:
            return None
        return InvalidField(
            f"`dimensions` is {request.dimensions}, but {self._name} makes vectors of {self._size}: ask for no more.",
            param="dimensions",
        )

    def _embed(self, batch: list[tuple[EmbeddingJob, int, str]]) -> None:
        """One forward pass; vectors and token counts go to their jobs, and an error to a job with too long a text."""
        read = []
        for job, position, text in batch:
            tokens = self._tokens(text)
            if self._limit and len(tokens) > self._limit:
                job.error = job.error or self._too_long(len(tokens), position)
            read.append((job, position, tokens))
        wanted = [item for item in read if not item[0].error]
        if not wanted:
            return
        for (job, position, tokens), vector in zip(wanted, self._forward([item[2] for item in wanted]), strict=True):
            job.vectors[position] = vector
            job.tokens += len(tokens)

    def _tokens(self, text: str) -> list[int]:
        cut = {"truncation": True, "max_length": self._limit} if self._options.truncate and self._limit else {}
        tokens: list[int] = self._tokenizer(self._prompt + text, verbose=False, **cut)["input_ids"]
        return tokens

    def _forward(self, rows: list[list[int]]) -> Any:
        """Vectors as numpy float32 of shape (rows, dimensions)."""
        padded = self._tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="np")
        made = self._model(mx.array(padded["input_ids"]), attention_mask=mx.array(padded["attention_mask"]))
        return np.array(made.text_embeds.astype(mx.float32))

    def _too_long(self, tokens: int, position: int) -> ContextTooLong:
        limit = self._limit or 0
        return ContextTooLong(
            f"Text {position} has {tokens} tokens, {tokens - limit} more than the {limit} that {self._name} reads: "
            "shorten or split it, or set `truncate: true` in the model's options to have it cut.",
            param="input",
            details={"index": position, "tokens": tokens, "limit": limit},
        )


def _limit(found: MlxCheckpoint, tokenizer: Any) -> int | None:
    """How many tokens of a text the model reads: what the folder says, else the tokenizer, else the model itself."""
    said = found.read("sentence_bert_config.json").get("max_seq_length")
    known = tokenizer.model_max_length if tokenizer.model_max_length < 10**9 else None  # 10**30: unknown
    limit: int | None = said or known or found.config.get("max_position_embeddings")
    return limit


def _prompt(found: MlxCheckpoint) -> str:
    """What the model wants before every text, where its folder says so by default."""
    said = found.read("config_sentence_transformers.json")
    return str((said.get("prompts") or {}).get(said.get("default_prompt_name")) or "")
