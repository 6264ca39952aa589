"""What image models cannot honour: sizes between their steps, prompts beyond their encoder, guidance without effect."""

from __future__ import annotations

from contract.errors import ContextTooLong, InvalidField, UnsupportedFeature
from contract.tasks.image_generation import DiffusionRequest

Size = tuple[int, int]
"""Width and height in pixels."""

GUIDANCE_HAS_NO_EFFECT = "`guidance` has no effect on this model."


def requested_size(request: DiffusionRequest, multiple: int) -> Size | None:
    """The size that the client asks for, or None. Raises InvalidField unless both sides are multiples of `multiple`."""
    if request.pixels is None:
        return None
    width, height = request.pixels
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
