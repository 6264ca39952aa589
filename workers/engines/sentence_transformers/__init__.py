"""Texts to vectors with the sentence-transformers library: MiniLM, mpnet, bge, e5 and their kind."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import ContextTooLong, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.embeddings import EMBEDDINGS, Embedding, EmbeddingsRequest, EmbeddingsResponse, EmbeddingsUsage
from workers import snapshots
from workers.engine import Answer, Call, Device, Engine, Options, serves


class SentenceOptions(Options):
    """How texts are read.

    `truncate`: cut a text that the model cannot read whole, instead of refusing it. `prompt` or `prompt_name` (one that
    the model brings, such as `query`) is put before every text. `normalize`: vectors of length one from models that
    do not make such themselves. `batch_size`: texts in one forward pass. `threads`: torch's, on CPU; null: torch's own.
    """

    truncate: bool = False
    prompt: str | None = None
    prompt_name: str | None = None
    normalize: bool = False
    batch_size: int = Field(32, ge=1)
    threads: int | None = Field(None, ge=1)


@dataclass(eq=False, slots=True)
class _Job:
    """A call on its way: its texts, and what is known of each."""

    call: Call[EmbeddingsRequest]
    texts: list[str]
    vectors: dict[int, Any] = field(default_factory=dict)  # position of the text -> numpy float32, shape (dimensions,)
    tokens: int = 0
    error: ServeError | None = None

    @property
    def open(self) -> bool:
        """Whether it still needs work that somebody waits for."""
        return self.error is None and len(self.vectors) < len(self.texts) and not self.call.cancelled


class SentenceTransformers(Engine):
    """Any SentenceTransformer model: a hub id, a local folder, or `package:NAME/FOLDER`.

    Token ids as input are refused: clients send those of another model's tokenizer, which would mean other words here.
    """

    Options = SentenceOptions
    imports = (
        "workers.torchvision_shim",
        "sentence_transformers:SentenceTransformer",
        # The names under which models say what they are made of.
        "sentence_transformers.models.Transformer",
        "sentence_transformers.models.Pooling",
        "sentence_transformers.models.Normalize",
        "transformers.models.mpnet.modeling_mpnet",
        "transformers.models.xlm_roberta.modeling_xlm_roberta",
        f"{__name__}.warm",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        importlib.import_module("workers.torchvision_shim")  # before anything that imports torchvision
        import torch
        from sentence_transformers import SentenceTransformer

        self.options = SentenceOptions.model_validate(spec.options)
        if self.options.threads:
            torch.set_num_threads(self.options.threads)
        self.name = spec.id
        self.model = SentenceTransformer(
            str(snapshots.folder(spec.source, spec.revision)),
            device=device.torch,
            trust_remote_code=spec.trust_remote_code,
            model_kwargs={"dtype": device.dtype},
        ).eval()
        self.prompt = self._prompt()
        self.limit: int | None = self.model.max_seq_length
        self.size: int = self.model.get_embedding_dimension() or len(self._forward(["a"])[0][0])

    def _prompt(self) -> str | None:
        """The text to put before every text, as the library itself would choose it."""
        if self.options.prompt is not None:
            return self.options.prompt
        name = self.options.prompt_name or self.model.default_prompt_name
        if name is None:
            return None
        if name not in self.model.prompts:
            known = ", ".join(self.model.prompts) or "none"
            raise LoadFailed(f"options.prompt_name {name!r} is none of the model's prompts: {known}.")
        return str(self.model.prompts[name])

    @serves(EMBEDDINGS, max_batch=64)
    def embed(self, calls: list[Call[EmbeddingsRequest]]) -> Iterator[tuple[Call[EmbeddingsRequest], Answer]]:
        """Embed all calls' texts together, those of like length side by side; answer each call when it is whole."""
        jobs = [_Job(call, call.request.texts, error=self._refusal(call.request)) for call in calls]
        yield from ((job.call, job.error) for job in jobs if job.error)
        texts = [(job, position) for job in jobs if job.open for position in range(len(job.texts))]
        texts.sort(key=lambda item: len(item[0].texts[item[1]]), reverse=True)
        for start in range(0, len(texts), self.options.batch_size):
            batch = [item for item in texts[start : start + self.options.batch_size] if item[0].open]
            if not batch:
                continue
            self._embed(batch)
            for job in dict.fromkeys(job for job, _ in batch):
                job.call.progress(len(job.vectors), len(job.texts))
                if not job.open and not job.call.cancelled:
                    yield job.call, job.error or self._answer(job)

    def _refusal(self, request: EmbeddingsRequest) -> ServeError | None:
        if request.needs():
            return UnsupportedFeature("`input` holds token ids; this model takes texts only.", param="input")
        if request.dimensions is None or request.dimensions <= self.size:
            return None
        return InvalidField(
            f"`dimensions` is {request.dimensions}, but {self.name} makes vectors of {self.size}: ask for no more.",
            param="dimensions",
        )

    def _embed(self, batch: list[tuple[_Job, int]]) -> None:
        """One forward pass; the vectors and token counts go to their jobs."""
        texts = [job.texts[position] for job, position in batch]
        vectors, lengths = self._forward(texts)
        for (job, position), vector, length in zip(batch, vectors, lengths, strict=True):
            job.vectors[position] = vector
            job.tokens += length
            if self.limit and length >= self.limit and not self.options.truncate and job.error is None:
                job.error = self._too_long(job.texts[position], position)

    def _forward(self, texts: list[str]) -> tuple[Any, list[int]]:
        """Vectors as numpy float32 of shape (texts, dimensions), and how many tokens of each text were read."""
        import torch
        from sentence_transformers.util import batch_to_device

        with torch.inference_mode():
            features = self.model.preprocess(texts, prompt=self.prompt)
            lengths = _lengths(features)
            vectors = self.model(batch_to_device(features, self.model.device))["sentence_embedding"]
            vectors = vectors[:, : self.model.truncate_dim]
            if self.options.normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            return vectors.float().cpu().numpy(), lengths

    def _too_long(self, text: str, position: int) -> ContextTooLong | None:
        """Why a text that fills the model's window cannot be read whole; None if it fits exactly."""
        tokens = len(self.model.tokenizer((self.prompt or "") + text, verbose=False)["input_ids"])
        if self.limit is None or tokens <= self.limit:
            return None
        return ContextTooLong(
            f"Text {position} has {tokens} tokens, {tokens - self.limit} more than the {self.limit} that "
            f"{self.name} reads: shorten or split it, or set `truncate: true` in the model's options to have it cut.",
            param="input",
            details={"index": position, "tokens": tokens, "limit": self.limit},
        )

    def _answer(self, job: _Job) -> EmbeddingsResponse:
        request = job.call.request
        vectors = (_cut(job.vectors[position], request.dimensions) for position in range(len(job.texts)))
        write = _base64 if request.encoding_format == "base64" else _floats
        return EmbeddingsResponse(
            model=self.name,
            data=[Embedding(index=index, embedding=write(vector)) for index, vector in enumerate(vectors)],
            usage=EmbeddingsUsage(prompt_tokens=job.tokens, total_tokens=job.tokens),
        )


def _lengths(features: dict[str, Any]) -> list[int]:
    """How many tokens each text has, special ones included, padding not."""
    if "attention_mask" in features:
        lengths: list[int] = features["attention_mask"].sum(dim=1).tolist()
        return lengths
    # Static embeddings have no mask: all tokens lie in one row, `offsets` says where each text begins.
    starts = [*features["offsets"].tolist(), len(features["input_ids"])]
    return [end - start for start, end in pairwise(starts)]


def _cut(vector: Any, dimensions: int | None) -> Any:
    """The first `dimensions` values, scaled to length one again (Matryoshka representation, arXiv:2205.13147)."""
    if dimensions is None or dimensions == len(vector):
        return vector
    cut = vector[:dimensions]
    return cut / max(float((cut * cut).sum()) ** 0.5, 1e-12)


def _floats(vector: Any) -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers


def _base64(vector: Any) -> str:
    """Base64 of the little-endian float32 values, as OpenAI's SDK expects them."""
    return base64.b64encode(vector.astype("<f4", copy=False).tobytes()).decode("ascii")
