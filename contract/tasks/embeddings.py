"""embeddings: texts to vectors, as in OpenAI's API (platform.openai.com/docs/api-reference/embeddings)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, field_validator

from contract.tasks import Request, Response, Task

Input = str | list[str] | list[int] | list[list[int]]


class EmbeddingsRequest(Request):
    """`input` is a text, texts, or token ids; `dimensions` cuts vectors and scales them to length one again."""

    input: Input
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    user: str | None = None

    @field_validator("input")
    @classmethod
    def _not_empty(cls, value: Input) -> Input:
        if len(value) == 0 or (isinstance(value, list) and any(isinstance(v, str | list) and not v for v in value)):
            raise ValueError("every text must have at least one character")
        if isinstance(value, list) and len(value) > 2048:
            raise ValueError(f"{len(value)} texts are too many for one request; send at most 2048")
        return value

    def needs(self) -> frozenset[str]:
        first = self.input[0] if isinstance(self.input, list) else ""
        return frozenset() if isinstance(first, str) else frozenset({"input_tokens"})

    @property
    def texts(self) -> list[str]:
        """The texts, when `input` holds texts."""
        return [self.input] if isinstance(self.input, str) else [text for text in self.input if isinstance(text, str)]


class Embedding(BaseModel):
    """A vector of float32, as numbers or as base64 of its little-endian bytes."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(Response):
    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: EmbeddingsUsage


EMBEDDINGS = Task("embeddings", "/v1/embeddings", EmbeddingsRequest, EmbeddingsResponse)
