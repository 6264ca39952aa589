"""rerank: scores documents by how well each answers a query, as Jina's and Cohere's APIs do.

Sources: api.jina.ai/docs, docs.cohere.com/reference/rerank.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator

from contract.known_fields import FieldTable, Requirement, honoured, neutral, refused
from contract.lazy_model import LazyModel
from contract.limits import Items, Name, Text
from contract.omittable import Omittable
from contract.tasks import Request, Response, Task

MAX_DOCUMENTS = 2048

_CHUNKS = "A document that is too long is cut, not split: split it yourself to have all of it scored."
_DOCUMENTS = "A document is a text, or an object with a `text` or the `rank_fields`; images are not ranked."
_CUTS = "`truncate` and `max_tokens_per_doc` say how long documents are cut."


class DocumentFields(LazyModel):
    """A document as an object; without `rank_fields`, its `text` is scored."""

    model_config = ConfigDict(extra="allow")

    text: Text | None = None


RerankDocument = Annotated[Text | DocumentFields, Field(union_mode="left_to_right")]


class RerankRequest(Request):
    """A `query`, and texts or objects as `documents`.

    Of objects, the values of `rank_fields` are scored, in this order, or else the `text`. `top_n` limits the results,
    `return_documents: false` leaves out their documents. `max_tokens_per_doc` cuts each document. `truncate` says
    whether a document that does not fit into the model with its query is cut or refused; without it, the model's entry
    does. `raw_scores` asks for the model's logits instead of scores from 0 to 1. `instruction` says what makes a
    document relevant, to models that read one.
    """

    known_fields: ClassVar[FieldTable] = {
        **honoured("Jina, Cohere", "query"),
        **honoured("Jina, Cohere", "documents", hint=_DOCUMENTS),
        **honoured("Jina, Cohere", "top_n return_documents"),
        **honoured("Cohere", "rank_fields max_tokens_per_doc"),
        **honoured("TEI", "raw_scores"),
        **honoured("TEI", "truncate", feature="truncate"),
        **honoured("Qwen3-Reranker", "instruction", feature="instruction"),
        **neutral("Cohere", "max_chunks_per_doc", hint=_CHUNKS),
        **neutral("Cohere, OpenAI", "priority user"),
        **refused("vLLM", "truncate_prompt_tokens", hint=_CUTS),
        **refused("vLLM", "use_activation activation softmax", also=(True,), hint="`raw_scores: true` gives logits."),
    }

    query: Text = Field(min_length=1)
    documents: Items[RerankDocument] = Field(min_length=1)
    top_n: int | None = Field(None, ge=1)
    return_documents: bool | None = None
    rank_fields: Items[Name] | None = Field(None, min_length=1)
    max_tokens_per_doc: int | None = Field(None, ge=1)
    truncate: bool | None = None
    raw_scores: bool | None = None
    instruction: Text | None = None

    @field_validator("documents")
    @classmethod
    def _check_documents(cls, documents: list[RerankDocument]) -> list[RerankDocument]:
        if len(documents) > MAX_DOCUMENTS:
            raise ValueError(f"{len(documents)} documents are too many for one request; send at most {MAX_DOCUMENTS}")
        return documents

    def required_features(self) -> frozenset[str]:
        objects = (document for document in self.documents if isinstance(document, DocumentFields))
        return frozenset() if all(map(self._values, objects)) else frozenset({"images"})

    def requirements(self) -> list[Requirement]:
        return [("documents" if feature == "images" else field, feature) for field, feature in super().requirements()]

    @property
    def texts(self) -> list[str]:
        """What of each document is scored, in the order of the request."""
        return [
            "\n".join(self._values(document)) if isinstance(document, DocumentFields) else document
            for document in self.documents
        ]

    def _values(self, document: DocumentFields) -> list[str]:
        """The texts in an object; other values in `rank_fields` are as in JSON."""
        values = [getattr(document, name, None) for name in self.rank_fields or ("text",)]
        return [value if isinstance(value, str) else str(value) for value in values if value is not None]


class RankedDocument(LazyModel):
    """A document by its `index` in the request, and how relevant it is: from 0 to 1, or as a logit."""

    model_config = ConfigDict(extra="allow")

    index: int
    relevance_score: float
    document: Omittable[dict[str, Any] | str] = None


class RerankUsage(LazyModel):
    """The tokens that the model read: those of the query count once for each document."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class RerankResponse(Response):
    """The results, the most relevant first. `meta` has the counts of Cohere's API."""

    object: Literal["list"] | str = "list"
    id: str | None = None
    model: str = ""
    results: list[RankedDocument]
    usage: Omittable[RerankUsage] = None
    meta: Omittable[dict[str, Any]] = None


def ranked(request: RerankRequest, scores: list[float]) -> list[RankedDocument]:
    """The results for the score of each document. Equal scores keep the order of the request."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[: request.top_n]
    documents = request.documents if request.return_documents is not False else None
    return [
        RankedDocument(index=index, relevance_score=scores[index], document=_as_object(documents[index]))
        if documents
        else RankedDocument(index=index, relevance_score=scores[index])
        for index in order
    ]


def _as_object(document: str | DocumentFields) -> dict[str, Any]:
    return {"text": document} if isinstance(document, str) else document.model_dump(exclude_unset=True)


def cohere_meta(search_units: int = 1) -> dict[str, Any]:
    """What Cohere's clients read beside the results."""
    return {"api_version": {"version": "1"}, "billed_units": {"search_units": search_units}}


RERANK = Task(
    "rerank",
    "/v1/rerank",
    RerankRequest,
    RerankResponse,
    inputs=("text",),
    outputs=("json",),
    example={
        "query": "Where do cats sleep?",
        "documents": ["A cat sleeps on the sofa.", "The stock market fell today."],
        "top_n": 1,
    },
)
