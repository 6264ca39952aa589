"""One call on its way to vectors: what it brings, what has become of it, and the answer that this makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from contract.arrays import Array, as_base64, as_list
from contract.errors import ServeError
from contract.media import ImageInput
from contract.tasks.embeddings import Embedding, EmbeddingsRequest, EmbeddingsResponse, EmbeddingsUsage
from workers.engine import Call


@dataclass(eq=False, slots=True)
class EmbeddingJob:
    """A call, the texts and pictures in it, and what is known of each."""

    call: Call[EmbeddingsRequest]
    things: list[str | ImageInput]
    vectors: dict[int, Any] = field(default_factory=dict)  # position of the thing -> numpy float32, (dimensions,)
    tokens: int = 0
    error: ServeError | None = None

    @property
    def open(self) -> bool:
        """Whether it still needs work that somebody waits for."""
        return self.error is None and len(self.vectors) < len(self.things) and not self.call.cancelled

    def answer(self, model: str) -> EmbeddingsResponse:
        """The answer of a job that is whole."""
        request = self.call.request
        vectors = (_cut(self.vectors[position], request.dimensions) for position in range(len(self.things)))
        encode = as_base64 if request.encoding_format == "base64" else as_list
        return EmbeddingsResponse(
            model=model,
            data=[Embedding(index=n, embedding=encode(Array.from_numpy(vector))) for n, vector in enumerate(vectors)],
            usage=EmbeddingsUsage(prompt_tokens=self.tokens, total_tokens=self.tokens),
        )


def lengths(features: dict[str, Any], count: int) -> list[int]:
    """How many tokens each of `count` texts has, special ones included, padding not; pictures have none."""
    if "attention_mask" in features:
        found: list[int] = features["attention_mask"].sum(dim=1).tolist()
        return found
    if "offsets" in features:
        # Static embeddings have no mask: all tokens lie in one row, `offsets` says where each text begins.
        starts = [*features["offsets"].tolist(), len(features["input_ids"])]
        return [end - start for start, end in pairwise(starts)]
    if "input_ids" in features:  # SigLIP's texts are all of one length
        return [int(features["input_ids"].shape[1])] * count
    return [0] * count


def _cut(vector: Any, dimensions: int | None) -> Any:
    """The first `dimensions` values, scaled to length one again (Matryoshka representation, arXiv:2205.13147)."""
    if dimensions is None or dimensions == len(vector):
        return vector
    cut = vector[:dimensions]
    return cut / max(float((cut * cut).sum()) ** 0.5, 1e-12)
