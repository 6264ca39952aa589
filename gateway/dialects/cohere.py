"""Cohere's API, version 2: ranking of documents, and embeddings of texts and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from contract.errors import InvalidField
from contract.known_fields import FieldTable, ignored, neutral, refused
from contract.lazy_model import LazyModel
from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.omittable import Omittable
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsRequest
from contract.tasks.rerank import RERANK, RerankDocument, RerankRequest
from gateway.dialects.dialect import (
    ApiDialect,
    DialectRequest,
    DialectResponse,
    DialectRoute,
    IdentifiedResponse,
    TaskAnswer,
    TaskQuery,
)
from gateway.dialects.ranking_errors import RANKING_ERRORS
from gateway.forwarding.model_table import ModelTable

_PROMPTS = "What is put before texts is in the model's `options`."


class RankRequest(DialectRequest):
    """Documents to rank by a query. `max_tokens_per_doc` cuts each of them."""

    known_fields: ClassVar[FieldTable] = neutral("Cohere", "priority")

    model: Name | None = None
    query: Text = Field(min_length=1)
    documents: Items[RerankDocument] = Field(min_length=1)
    top_n: int | None = Field(None, ge=1)
    max_tokens_per_doc: int | None = Field(None, ge=1)


class CohereRank(LazyModel):
    """A document by its place in the request."""

    index: int
    relevance_score: float


class RankResponse(DialectResponse):
    """The most relevant documents first."""

    id: Omittable[str] = None
    results: list[CohereRank]
    meta: dict[str, Any]


class ImageOf(LazyModel):
    """An image as a data URI, base64 or an `http(s)` URL."""

    url: ImageInput


class EmbedPart(LazyModel):
    """A text, or an image."""

    type: Literal["text", "image_url"]
    text: Text | None = None
    image_url: ImageOf | None = None

    @model_validator(mode="after")
    def _check_content(self) -> EmbedPart:
        if not getattr(self, self.type):
            raise ValueError(f"a part of type {self.type} needs its `{self.type}`")
        return self


class EmbedInput(LazyModel):
    """What one vector is made of: one text or one image."""

    content: Items[EmbedPart]

    @model_validator(mode="after")
    def _check_content(self) -> EmbedInput:
        if len(self.content) != 1:
            raise ValueError(f"a vector is made of one text or one image, and this has {len(self.content)} parts")
        return self


class CohereEmbedRequest(DialectRequest):
    """`texts`, `images` or `inputs`, each with a vector. `embedding_types` is one of `float` and `base64`."""

    known_fields: ClassVar[FieldTable] = {
        **ignored("Cohere", "input_type", also=("search_document", "image"), hint=_PROMPTS),
        **neutral("Cohere", "priority"),
        **refused("Cohere", "max_tokens"),
    }

    model: Name | None = None
    input_type: Name | None = None
    texts: Items[Text] | None = None
    images: Items[ImageInput] | None = None
    inputs: Items[EmbedInput] | None = None
    embedding_types: Items[Literal["float", "base64"]] = Field(["float"])
    output_dimension: int | None = Field(None, ge=1)
    truncate: Literal["NONE", "END"] | None = None
    max_tokens: int | None = None

    @model_validator(mode="after")
    def _check_inputs(self) -> CohereEmbedRequest:
        if sum(map(bool, (self.texts, self.images, self.inputs))) != 1:
            raise InvalidField("Send one of `texts`, `images` and `inputs`.", param="inputs")
        if len(self.embedding_types) != 1:
            raise InvalidField("Ask for one of the types `float` and `base64`.", param="embedding_types")
        return self


class CohereEmbeddings(LazyModel):
    """The vectors, by their type."""

    model_config = ConfigDict(populate_by_name=True)

    float_: Omittable[list[list[float]]] = Field(None, alias="float")
    base64: Omittable[list[str]] = None


class CohereEmbedResponse(IdentifiedResponse):
    """A vector for each input, in their order."""

    request_id: str = Field("", serialization_alias="id")
    embeddings: CohereEmbeddings
    texts: list[str]
    meta: dict[str, Any]


def _to_embeddings(request: CohereEmbedRequest, _: ModelTable) -> Sequence[TaskQuery]:
    parts = [part for each in request.inputs or () for part in each.content]
    content = [{"image": part.image_url.url} if part.image_url else str(part.text) for part in parts]
    return [
        TaskQuery(
            EMBEDDINGS,
            EmbeddingsRequest(
                model=request.model,
                input=request.texts or content or None,
                images=request.images,
                encoding_format=request.embedding_types[0],
                dimensions=request.output_dimension,
                **({} if request.truncate is None else {"truncate": request.truncate == "END"}),
            ),
            {"input": "texts" if request.texts else "inputs"},
        )
    ]


def _from_embeddings(request: CohereEmbedRequest, answers: Sequence[TaskAnswer]) -> CohereEmbedResponse:
    response = answers[0].response
    vectors: Any = [item.embedding for item in response.data]
    images = len(request.images or ()) + sum(
        part.type == "image_url" for i in request.inputs or () for part in i.content
    )
    billed = {"input_tokens": response.usage.prompt_tokens, "images": images}
    return CohereEmbedResponse(
        embeddings=CohereEmbeddings(**{request.embedding_types[0]: vectors}),
        texts=request.texts or [],
        meta={"api_version": {"version": "2"}, "billed_units": billed},
    )


def _to_rerank(request: RankRequest, _: ModelTable) -> Sequence[TaskQuery]:
    fields = request.model_dump(include={"model", "query", "top_n", "max_tokens_per_doc"}, exclude_none=True)
    return [TaskQuery(RERANK, RerankRequest(documents=request.documents, return_documents=False, **fields))]


def _from_rerank(_: RankRequest, answers: Sequence[TaskAnswer]) -> RankResponse:
    response = answers[0].response
    ranks = [CohereRank(index=result.index, relevance_score=result.relevance_score) for result in response.results]
    tokens = response.usage.total_tokens if response.usage else 0
    meta = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": 1},
        "tokens": {"input_tokens": tokens, "output_tokens": 0},
    }
    return RankResponse(id=response.id, results=ranks, meta=meta)


COHERE = ApiDialect(
    name="cohere",
    title="Cohere API",
    description="Ranking of documents and embeddings, in version 2 of the API; of version 1, `/v1/rerank`.",
    routes=(
        DialectRoute(
            "/v2/embed", "Embed texts and images", CohereEmbedRequest, CohereEmbedResponse, _to_embeddings,
            _from_embeddings, (EMBEDDINGS,),
            {"model": "minilm", "input_type": "search_document", "texts": ["A cat sleeps."],
             "embedding_types": ["float"]},
            {"id": "uuid", "embeddings": {"float": [[0.1, 0.2]]}, "texts": ["A cat sleeps."],
             "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 6, "images": 0}}},
            {"input": "texts", "encoding_format": "embedding_types", "dimensions": "output_dimension"},
        ),
        DialectRoute(
            "/v2/rerank", "Rank documents", RankRequest, RankResponse, _to_rerank, _from_rerank, (RERANK,),
            {"model": "bge-reranker", "query": "Where do cats sleep?",
             "documents": ["The stock market fell today.", "A cat sleeps on the sofa."], "top_n": 1},
            {"id": "rerank-uuid", "results": [{"index": 1, "relevance_score": 0.98}],
             "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}},
        ),
    ),
    errors=RANKING_ERRORS,
)  # fmt: skip
