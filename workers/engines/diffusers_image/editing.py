"""Turns edits and variations into pipeline calls: which pipeline gets which images, at what size, with what mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.errors import InvalidField, UnsupportedFeature, UnsupportedTask
from contract.image_loading import open_image, open_mask, open_with_transparency, sizes_together
from contract.tasks.image_edit import ImageEditRequest
from contract.tasks.image_generation import DiffusionRequest
from contract.tasks.image_variation import ImageVariationRequest
from workers.engines.diffusers_image.arguments import PipelineAdapter
from workers.engines.diffusers_image.drawing import PipelineCall
from workers.engines.diffusers_image.pipelines import Pipelines
from workers.toolkit.drawing.answering import Drawing
from workers.toolkit.drawing.limits import Size

if TYPE_CHECKING:
    from PIL import Image


def edit(request: ImageEditRequest, pipelines: Pipelines) -> Drawing:
    """How to draw an edit. Raises ServeError for images, masks and fields that do not fit together or the model."""
    sources = request.all_images
    sizes_together(sources)
    image, transparent = open_with_transparency(sources[0])
    mask = open_mask(request.mask) if request.mask else (transparent if pipelines.inpaints_transparency else None)
    if mask is not None:
        _check_mask(mask, image)
    adapter = pipelines.for_editing(masked=mask is not None)
    if len(sources) > 1 and (mask is not None or not pipelines.combines_images):
        ability = "combines images, but not with a mask" if pipelines.combines_images else "edits one image at a time"
        message = f"This model {ability}; this request has {len(sources)}. Send one."
        raise UnsupportedFeature(message, param=request.images_field)
    others = [open_image(other) for other in sources[1:]]
    return _drawing(request, request.strength, adapter, [image, *others], mask)


def vary(request: ImageVariationRequest, pipelines: Pipelines) -> Drawing:
    """How to draw a variation. Raises ServeError like `edit`."""
    adapter = pipelines.for_editing(masked=False)
    if "strength" not in adapter.parameters:
        raise UnsupportedTask(
            "This model draws no variations, because it edits as a prompt says. Send the image and a prompt to "
            "/v1/images/edits."
        )
    return _drawing(request, request.strength, adapter, [open_image(request.image)], None)


def _drawing(
    request: DiffusionRequest,
    strength: float | None,
    adapter: PipelineAdapter,
    images: list[Image.Image],
    mask: Image.Image | None,
) -> Drawing:
    canvas = Canvas.of(adapter, request, images[0].size, masked=mask is not None)
    arguments, warnings = adapter.read(request)
    arguments |= adapter.strength(request, strength) | adapter.size_arguments(canvas.drawn)
    if "width" in adapter.parameters and "strength" not in adapter.parameters:
        arguments["image"] = images if len(images) > 1 else images[0]  # these pipelines resize their references
    else:
        arguments["image"] = canvas.fit(images[0], canvas.drawn)
    if mask is not None:
        arguments["mask_image"] = canvas.fit_mask(mask, canvas.drawn)
    warnings = [*warnings, *canvas.warnings]
    finish = Finish(canvas, images[0], mask)
    if strength == 0:  # keeps the image, so there is nothing to draw
        unchanged = finish(arguments["image"])
        return Drawing(lambda _seed, _progress: (unchanged, []), warnings)
    return Drawing(PipelineCall(adapter, request, arguments, finish), warnings)


def _check_mask(mask: Image.Image, image: Image.Image) -> None:
    if mask.size != image.size:
        sizes = [f"{width}x{height}" for width, height in (mask.size, image.size)]
        raise InvalidField(
            f"The mask is {sizes[0]} pixels and the image {sizes[1]}: send a mask of the image's size.",
            param="mask",
        )
    if not mask.getbbox():
        raise InvalidField(
            "The mask marks nothing: make the part to redraw transparent (or white, in a mask without transparency).",
            param="mask",
        )


@dataclass(frozen=True, slots=True)
class Canvas:
    """The size at which an image is drawn, and the size of the answer. `crops`: their proportions are the client's."""

    drawn: Size
    answered: Size
    crops: bool = False
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, adapter: PipelineAdapter, request: DiffusionRequest, size: Size, *, masked: bool) -> Canvas:
        """The requested size, else the image's own `size` as far as the model can draw it."""
        if requested := adapter.requested_size(request):
            return cls(requested, requested, crops=True)
        drawn = _nearest(size, adapter.multiple, adapter.max_pixels)
        if size[0] * size[1] <= adapter.max_pixels:
            return cls(drawn, size)
        scale = "all that the memory suffices for" if adapter.is_short_of_memory else "the model's own scale"
        scaled = f"The image of {size[0]}x{size[1]} pixels was drawn at {drawn[0]}x{drawn[1]}, {scale}"
        if masked:
            return cls(drawn, size, warnings=(f"{scaled}, and the masked part was enlarged again.",))
        return cls(drawn, drawn, warnings=(f"{scaled}; request another `size` if you need one.",))

    def fit(self, image: Image.Image, size: Size) -> Image.Image:
        """The image at one of the canvas's sizes, cropped or resized."""
        from PIL import Image, ImageOps

        if image.size == size:
            return image
        if self.crops:
            return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
        return image.resize(size, Image.Resampling.LANCZOS)

    def fit_mask(self, mask: Image.Image, size: Size) -> Image.Image:
        """A mask at one of the canvas's sizes. A pixel that is only partly marked counts as marked."""
        from PIL import Image, ImageOps

        if mask.size == size:
            return mask
        scaled = (
            ImageOps.fit(mask, size, Image.Resampling.BOX) if self.crops else mask.resize(size, Image.Resampling.BOX)
        )
        return scaled.point(lambda value: 255 * (value > 0))


@dataclass(frozen=True, slots=True)
class Finish:
    """Turns what the model drew into the answer: at the answer's size, with the original outside of the mask."""

    canvas: Canvas
    original: Image.Image
    mask: Image.Image | None

    def __call__(self, drawn: Image.Image) -> Any:
        from PIL import Image

        size = self.canvas.answered
        if drawn.size != size:
            drawn = drawn.resize(size, Image.Resampling.LANCZOS)
        if self.mask is None:
            return drawn
        return Image.composite(drawn, self.canvas.fit(self.original, size), self.canvas.fit_mask(self.mask, size))


def _nearest(size: Size, multiple: int, max_pixels: int) -> Size:
    """The nearest size that the model draws, with at most about `max_pixels`, in the same proportions."""
    scale = min(1.0, math.sqrt(max_pixels / (size[0] * size[1])))
    rounded = math.floor if scale < 1 else round
    width, height = (max(multiple, rounded(side * scale / multiple) * multiple) for side in size)
    return width, height
