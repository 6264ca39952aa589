"""Every call of the API, one module for each family. Functions that build calls send nothing."""

from __future__ import annotations

from client.calls import (
    administration,
    chat,
    downloads,
    drawing,
    embeddings,
    jobs,
    models,
    pages,
    ranking,
    request_log,
    speech,
    system,
    vision,
)

__all__ = [
    "administration", "chat", "downloads", "drawing", "embeddings", "jobs", "models", "pages", "ranking", "request_log",
    "speech", "system", "vision",
]  # fmt: skip
