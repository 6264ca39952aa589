"""Which chunks of a streamed answer its client wants: the one with the counts of tokens only if it asked for it.

Source: `stream_options` of OpenAI's API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class _UsageRequest(Protocol):
    @property
    def include_usage(self) -> bool: ...


class _UsageChunk(Protocol):
    @property
    def usage(self) -> Any: ...
    @property
    def choices(self) -> Sequence[Any]: ...


def wants_chunk(request: _UsageRequest, chunk: _UsageChunk) -> bool:
    """Whether to send a streamed chunk."""
    return chunk.usage is None or bool(chunk.choices) or request.include_usage
