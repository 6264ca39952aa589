"""The base of requests, responses and the status: pydantic builds a validator at its first use, not at its import.

There are 300 of them, most processes need few, and building all took a sixth of the start of the gateway.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class LazyModel(BaseModel):
    """A pydantic model whose validator and serializer are built once they are needed."""

    model_config = ConfigDict(defer_build=True)
