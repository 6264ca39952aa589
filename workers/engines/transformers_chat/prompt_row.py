"""A prompt as one row of a batch: its tokens, their positions, its images, and what it has in common with others."""

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
"""Nobody can draw two images with one digest who does not know it."""
_WORDS = 4
"""Numbers of 64 bits in a digest."""


def moved(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Inputs of a processor on the model's device, what is not whole numbers in its precision."""
    return {
        name: values.to(model.device, model.dtype if values.is_floating_point() else None)
        for name, values in inputs.items()
        if torch.is_tensor(values)
    }


@dataclass(frozen=True, eq=False)
class PromptImage:
    """A image, or a tile of one, as the vision encoder takes it, and the tokens that stand for it."""

    pixels: Mapping[str, Any]
    tokens: Any  # (tokens of the image,): their places in the row

    @cached_property
    def digest(self) -> bytes:
        """What tells it from all others: a keyed hash of all that the encoder takes, 32 bytes."""
        digest = hashlib.blake2b(key=_SECRET, digest_size=8 * _WORDS)
        for name, values in sorted(self.pixels.items()):
            digest.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
            digest.update(values.contiguous().view(torch.uint8).numpy().tobytes())
        return digest.digest()

    @property
    def begin(self) -> int:
        """The place of its first token."""
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
    """By how much the position of the token after the prompt differs from the count of tokens."""
    images: Sequence[PromptImage] = ()
    whole: Mapping[str, Any] | None = None
    """All inputs, where only the model's own forward pass can read them, and at once."""

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    @cached_property
    def keys(self) -> Any:
        """A number (int64) for each token, equal in two rows where the model sees the same there.

        The tokens of a image are all alike; each stands for a part of the image's digest instead.
        """
        keys = self.ids.numpy().astype(np.int64, copy=True)
        for image in self.images:
            words = np.frombuffer(image.digest, dtype=np.int64) | np.int64(-(2**63))  # no token is negative
            keys[image.tokens.numpy()] = np.resize(words, len(image.tokens))
        return keys

    def keys_with(self, written: Sequence[int]) -> Any | None:
        """The keys of the row with these tokens after it; None where it is not known which tokens are images."""
        return None if self.whole else np.concatenate([self.keys, np.array(written, dtype=np.int64)])

    def images_in(self, begin: int, end: int) -> list[PromptImage]:
        """Those that have tokens in a range of the row."""
        return [image for image in self.images if image.begin < end and image.end > begin]
