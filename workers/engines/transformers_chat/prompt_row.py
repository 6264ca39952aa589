"""A prompt as one row of a batch: token ids, positions, images, and keys that tell equal beginnings."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

_SECRET = os.urandom(32)
"""Keys the digests, so that no client can make two images that share one."""
_WORDS = 4
"""The 64-bit numbers in a digest."""


def moved(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """A processor's tensors on the model's device; floating-point ones in the model's dtype."""
    return {
        name: values.to(model.device, model.dtype if values.is_floating_point() else None)
        for name, values in inputs.items()
        if torch.is_tensor(values)
    }


@dataclass(frozen=True, eq=False)
class PromptImage:
    """An image, or a tile of one, as the vision encoder takes it, and the tokens that stand for it."""

    pixels: Mapping[str, Any]
    tokens: Any  # (tokens of the image,): their places in the row

    @cached_property
    def digest(self) -> bytes:
        """Identifies the image: a keyed hash of the encoder's inputs, 32 bytes."""
        digest = hashlib.blake2b(key=_SECRET, digest_size=8 * _WORDS)
        for name, values in sorted(self.pixels.items()):
            digest.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
            digest.update(values.contiguous().view(torch.uint8).numpy().tobytes())
        return digest.digest()

    @property
    def begin(self) -> int:
        """The place of its first token in the row."""
        return int(self.tokens[0])

    @property
    def end(self) -> int:
        """The place after its last token."""
        return int(self.tokens[-1]) + 1


@dataclass(frozen=True, eq=False)
class PromptRow:
    """A prompt's tokens (tokens,) on the CPU; `positions` are (axes, tokens), or None: counted from 0."""

    ids: Any
    positions: Any = None
    offset: int = 0
    """What to add to the number of tokens to get the position of the token after the prompt."""
    images: Sequence[PromptImage] = ()
    whole: Mapping[str, Any] | None = None
    """The processor's inputs, if the model must read them at once in its own forward pass."""

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    @cached_property
    def keys(self) -> Any:
        """One int64 for each token: rows with equal keys look the same to the model.

        The tokens of an image are all alike, so each has a part of the image's digest as its key.
        """
        keys = self.ids.numpy().astype(np.int64, copy=True)
        for image in self.images:
            words = np.frombuffer(image.digest, dtype=np.int64) | np.int64(-(2**63))  # token ids are never negative
            keys[image.tokens.numpy()] = np.resize(words, len(image.tokens))
        return keys

    def images_in(self, begin: int, end: int) -> list[PromptImage]:
        """The images with tokens in a range of the row."""
        return [image for image in self.images if image.begin < end and image.end > begin]
