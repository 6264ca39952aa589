"""Images that were encoded before: their features, by a hash of their pixels, within a bound of memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any


class FeatureCache:
    """Features by digest, least recently used out. `limit` in bytes; 0 keeps none."""

    def __init__(self, limit: int) -> None:
        self.bytes = 0
        self.limit = limit
        self._features: OrderedDict[bytes, Any] = OrderedDict()

    def get(self, digest: bytes) -> Any | None:
        """Features (tokens, size), or None where they are not kept (any more)."""
        if digest in self._features:
            self._features.move_to_end(digest)
        return self._features.get(digest)

    def put(self, digest: bytes, features: Any) -> None:
        """Keep a copy, where it fits at all; in its place go those that were asked for longest ago."""
        size = _bytes(features)
        if size > self.limit or digest in self._features:
            return
        while self.bytes + size > self.limit:
            self.bytes -= _bytes(self._features.popitem(last=False)[1])
        self._features[digest] = features.clone()  # else all that were encoded together stay as long as one of them
        self.bytes += size

    def clear(self) -> None:
        """Give the memory back."""
        self._features.clear()
        self.bytes = 0


def _bytes(features: Any) -> int:
    return int(features.numel() * features.element_size())
