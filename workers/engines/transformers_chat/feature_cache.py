"""Caches the features of encoded images, by a hash of the pixels, up to a memory limit."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any


class FeatureCache:
    """Features by digest; the least recently used are evicted. `limit` in bytes; 0 keeps none."""

    def __init__(self, limit: int) -> None:
        self.bytes = 0
        self.limit = limit
        self._features: OrderedDict[bytes, Any] = OrderedDict()

    def get(self, digest: bytes) -> Any | None:
        """The features (tokens, size) of an image, or None if they are not cached."""
        if digest in self._features:
            self._features.move_to_end(digest)
        return self._features.get(digest)

    def put(self, digest: bytes, features: Any) -> None:
        """Cache a copy unless it exceeds the limit; evicts the least recently used features to make room."""
        size = _bytes(features)
        if size > self.limit or digest in self._features:
            return
        while self.bytes + size > self.limit:
            self.bytes -= _bytes(self._features.popitem(last=False)[1])
        self._features[digest] = features.clone()  # a view would keep all images that were encoded together
        self.bytes += size

    def clear(self) -> None:
        """Free the memory."""
        self._features.clear()
        self.bytes = 0


def _bytes(features: Any) -> int:
    return int(features.numel() * features.element_size())
