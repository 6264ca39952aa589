"""Embeddings: texts and images as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from client.call import ApiCall, body_of
from client.calls.arrays import Numbers, floats
from client.images import ImageSource, image_value


def embed(
    texts: str | Sequence[str] = (),
    *,
    model: str | None = None,
    images: Sequence[ImageSource] = (),
    dimensions: int | None = None,
) -> ApiCall[Numbers]:
    """The vectors of texts, then those of images, as float32 of (inputs, dimensions)."""
    inputs = [texts] if isinstance(texts, str) else list(texts)
    body = body_of(model=model, input=inputs or None, dimensions=dimensions)
    body |= {"encoding_format": "base64"}
    if images:
        body["images"] = [image_value(image) for image in images]
    return ApiCall("POST", "/v1/embeddings", _vectors, body)


def _vectors(document: dict[str, Any]) -> Numbers:
    rows = sorted(document["data"], key=lambda row: int(row["index"]))
    vectors: Numbers = np.stack([floats(row["embedding"], (-1,)) for row in rows])
    return vectors
