"""What vision engines need to know about transformers' image processors: which images fit into one batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from workers.toolkit.image_batches import BatchImage, size_key

if TYPE_CHECKING:
    from PIL import Image


def has_fixed_size(processor: Any) -> bool:
    """Whether a processor turns every image into one of the same height and width."""
    cropped = getattr(processor, "do_center_crop", None) and processor.crop_size
    size = cropped or processor.size
    return bool(size and size.get("height") and size.get("width"))


def without_padding(processor: Any) -> Callable[[BatchImage[Any]], Hashable]:
    """A `group_by` for ImageBatcher under which a processor never pads one image to the size of another.

    Padding can change what a model makes of an image. All images share a batch if the processor gives them a fixed
    size; otherwise only images of equal size do.
    """
    return (lambda _: None) if has_fixed_size(processor) else size_key


def target_sizes(images: Sequence[Image.Image]) -> list[tuple[int, int]]:
    """The images' (height, width) in pixels, as transformers' post-processing takes them."""
    return [(image.height, image.width) for image in images]
