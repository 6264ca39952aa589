"""How large an image can be drawn in the memory that a device has beside the model."""

from __future__ import annotations

from dataclasses import dataclass

CHANNELS = 256
"""The channels of the autoencoders of Stable Diffusion and FLUX at full resolution, where they take the most memory."""
COPIES = 5
"""How many maps of all channels an autoencoder holds at the same time: what it adds, normalises and convolves."""
GIB = 2**30


@dataclass(frozen=True, slots=True)
class DrawingMemory:
    """The bytes that a drawing may take beside the model, and those that it takes for each of its pixels."""

    available: int
    per_pixel: int

    @classmethod
    def beside(
        cls, weights: int, device: int | None, channels: int = CHANNELS, value_bytes: int = 4
    ) -> DrawingMemory | None:
        """What is left of a device's memory beside the weights, in bytes; None if its memory is unknown.

        The last steps of the autoencoder, at full resolution, take the most: the denoising before them works on an
        eighth of the sides. `value_bytes` is the size of one number in them.
        """
        if device is None:
            return None
        return cls(max(0, device - weights), max(1, channels) * value_bytes * COPIES)

    def max_pixels(self, native: int) -> int:
        """The most pixels of a drawing, at least those of the model's own square, of which `native` is a side.

        What a drawing takes is an estimate, which must not refuse what every user of the model draws.
        """
        return max(native**2, self.available // self.per_pixel)

    def shortage(self, pixels: int) -> str:
        """Why so many pixels cannot be drawn, as the beginning of a sentence."""
        return (
            f"drawing it takes about {pixels * self.per_pixel / GIB:.1f} GiB, and this device has at most "
            f"{self.available / GIB:.1f} GiB beside the model"
        )
