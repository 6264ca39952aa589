"""What image models cannot honour: sizes between their steps, prompts beyond their encoder, guidance without effect."""

from __future__ import annotations

import math

from contract.errors import ContextTooLong, InvalidField, UnsupportedFeature
from contract.tasks.image_generation import DiffusionRequest
from workers.toolkit.drawing.memory import DrawingMemory

LARGEST = 4
"""How many times the pixels of its native square a model draws at most."""
Size = tuple[int, int]
"""Width and height in pixels."""

GUIDANCE_HAS_NO_EFFECT = "`guidance` has no effect on this model."


def requested_size(
    request: DiffusionRequest, multiple: int, native: int, memory: DrawingMemory | None = None
) -> Size | None:
    """The size that the client asks for, or None.

    Raises InvalidField unless both sides are multiples of `multiple`, for more than `LARGEST` times the pixels of the
    model's native square, of which `native` is a side, and for more than the memory suffices for.
    """
    if request.pixels is None:
        return None
    width, height = request.pixels
    side = _round_down(math.isqrt(LARGEST * native**2), multiple)
    if width * height > LARGEST * native**2:
        raise InvalidField(
            f"`size` {width}x{height}: this model draws {native}x{native}, and at most {LARGEST} times as many pixels, "
            f"such as {side}x{side}. Beyond that, one step takes minutes, and shapes repeat.",
            param="size",
        )
    if memory and width * height > (max_pixels := memory.max_pixels(native)):
        largest = _round_down(math.isqrt(max_pixels), multiple)
        raise InvalidField(
            f"`size` {width}x{height}: {memory.shortage(width * height)}. The largest square is {largest}x{largest}.",
            param="size",
            details={"max_pixels": max_pixels},
        )
    if width % multiple or height % multiple:
        smaller, larger = (f"{fit(width, multiple)}x{fit(height, multiple)}" for fit in (_round_down, _round_up))
        raise InvalidField(
            f"`size` {width}x{height}: this model draws widths and heights that are multiples of {multiple}; the "
            f"nearest are {smaller} and {larger}.",
            param="size",
        )
    return width, height


def prompt_warnings(field: str, tokens: int, limit: int, *, truncate: bool) -> list[str]:
    """A warning if a prompt of `tokens` is longer than the `limit` and therefore cut; nothing if it fits.

    Raises ContextTooLong if it may not be cut (`truncate` is false).
    """
    if tokens <= limit:
        return []
    excess = f"`{field}` has {tokens} tokens, {tokens - limit} more than the {limit} that this model reads"
    if not truncate:
        raise ContextTooLong(f"{excess}: shorten it.", param=field, details={"tokens": tokens, "limit": limit})
    return [f"{excess}: the end was left out."]


def no_negative_prompt() -> UnsupportedFeature:
    """The error for a `negative_prompt` that the model has no input for."""
    return UnsupportedFeature("This model takes no `negative_prompt`: leave it out.", param="negative_prompt")


def _round_down(side: int, multiple: int) -> int:
    return max(multiple, side // multiple * multiple)


def _round_up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
