"""Text Embeddings Inference's `/embed`: a list of texts becomes a list of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, RootModel

from contract.known_fields import FieldTable, refused
from contract.limits import Name
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsRequest, Input
from gateway.dialects.dialect import DialectRequest, TaskAnswer, TaskQuery
from gateway.dialects.text_embeddings_inference.ranking import RIGHT_ONLY
from gateway.forwarding.model_table import ModelTable

_OPTIONS = "The `options` of the model's entry decide it for all requests."


class EmbedTextsOfTeiRequest(DialectRequest):
    """`inputs` is a text, or a list of texts or of token ids. `truncate` cuts texts that are too long.

    `normalize` asks for vectors of length one, as the model and its options make them.
    """

    known_fields: ClassVar[FieldTable] = {
        **RIGHT_ONLY,
        **refused("TEI", "normalize", only=(None, True), hint=_OPTIONS),
        **refused("TEI", "prompt_name", hint=_OPTIONS),
    }

    model: Name | None = None
    inputs: Input
    truncate: bool | None = None
    normalize: bool | None = None
    dimensions: int | None = Field(None, ge=1)


class Vectors(RootModel[list[list[float]]]):
    """A vector for each text, in their order."""

    model_config = ConfigDict(defer_build=True)


def to_embeddings(request: EmbedTextsOfTeiRequest, _: ModelTable) -> Sequence[TaskQuery]:
    """The task's request."""
    fields: dict[str, Any] = request.model_dump(include={"model", "truncate", "dimensions"}, exclude_none=True)
    return [TaskQuery(EMBEDDINGS, EmbeddingsRequest(input=request.inputs, **fields))]


def to_vectors(_: EmbedTextsOfTeiRequest, answers: Sequence[TaskAnswer]) -> Vectors:
    """The vectors, each as a short text that stands for it."""
    return Vectors.model_construct([item.embedding for item in answers[0].response.data])
