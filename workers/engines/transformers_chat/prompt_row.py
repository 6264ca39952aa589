"""A prompt as one row of a batch: token ids, positions, images, and keys for finding common prefixes."""

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
"""Key of the digests, so that no client can construct two images with the same digest."""
_WORDS = 4
"""The number of 64-bit words in a digest."""


def moved(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Move a processor's tensors to the model's device, and floating-point tensors to its dtype; drops other values."""
    return {
        name: values.to(model.device, model.dtype if values.is_floating_point() else None)
        for name, values in inputs.items()
        if torch.is_tensor(values)
    }


@dataclass(frozen=True, eq=False)
class PromptImage:
    """The vision encoder's inputs for an image or a tile, and the places of its tokens in the row."""

    pixels: Mapping[str, Any]
    tokens: Any  # (tokens of the image,): their places in the row

    @cached_property
    def digest(self) -> bytes:
        """A keyed hash of the encoder's inputs, 32 bytes, which identifies the image."""
        hasher = hashlib.blake2b(key=_SECRET, digest_size=8 * _WORDS)
        for name, values in sorted(self.pixels.items()):
            hasher.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
            hasher.update(values.contiguous().view(torch.uint8).numpy().tobytes())
        return hasher.digest()

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
    """A prompt's token ids (tokens,) on the CPU, with what else the model needs to read them."""

    ids: Any
    positions: Any = None
    """Positions (axes, tokens); None if they count from 0."""
    offset: int = 0
    """The difference between the position of the token after the prompt and the number of tokens."""
    images: Sequence[PromptImage] = ()
    whole: Mapping[str, Any] | None = None
    """The processor's outputs, if the model must read the prompt whole; else None."""
    alternatives: int | None = None
    """How many alternatives each of its tokens is reported with; None if they are not reported."""

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    @cached_property
    def keys(self) -> Any:
        """One int64 for each token; rows with equal keys are the same to the model.

        All tokens of an image have the same id, so each has a part of the image's digest as its key instead.
        """
        keys = self.ids.numpy().astype(np.int64, copy=True)
        for image in self.images:
            words = np.frombuffer(image.digest, dtype=np.int64) | np.int64(-(2**63))  # token ids are never negative
            keys[image.tokens.numpy()] = np.resize(words, len(image.tokens))
        return keys

    def images_in(self, begin: int, end: int) -> list[PromptImage]:
        """The images with tokens in a range of the row."""
        return [image for image in self.images if image.begin < end and image.end > begin]
