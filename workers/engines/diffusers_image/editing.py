"""What an edit comes down to: which pipeline gets which pictures, in which size, and how what it draws is put back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.errors import InvalidField, UnsupportedFeature, UnsupportedTask
from contract.tasks.image_edit import ImageEditRequest
from contract.tasks.image_generation import DiffusionRequest
from contract.tasks.image_variation import ImageVariationRequest
from workers.engines.diffusers_image.arguments import PipelineAdapter, Size
from workers.engines.diffusers_image.drawing import Work
from workers.engines.diffusers_image.pipelines import Pipelines
from workers.toolkit.image_loading import open_image, open_mask, open_with_transparency

if TYPE_CHECKING:
    from PIL import Image


def edit(request: ImageEditRequest, pipelines: Pipelines) -> Work:
    """The work that an edit asks for. Raises ServeError for pictures, masks and fields that do not fit."""
    given = request.all_images
    picture, holes = open_with_transparency(given[0])
    mask = open_mask(request.mask) if request.mask else (holes if pipelines.fills_holes else None)
    if mask is not None:
        _check_mask(mask, picture)
    way = pipelines.editing(masked=mask is not None)
    if len(given) > 1 and (mask is not None or not pipelines.combines):
        can = "combines pictures, but not with a mask" if pipelines.combines else "edits one picture at a time"
        raise UnsupportedFeature(f"This model {can}; this request has {len(given)}. Send one.", param="image")
    others = [open_image(other) for other in given[1:]]
    return _work(request, request.strength, way, [picture, *others], mask)


def vary(request: ImageVariationRequest, pipelines: Pipelines) -> Work:
    """The work that a variation asks for. Raises ServeError like `edit`."""
    way = pipelines.editing(masked=False)
    if "strength" not in way.parameters:
        raise UnsupportedTask(
            "This model draws no variations: it edits as a prompt tells it. Send the picture and a prompt to "
            "/v1/images/edits."
        )
    return _work(request, request.strength, way, [open_image(request.image)], None)


def _work(
    request: DiffusionRequest,
    strength: float | None,
    way: PipelineAdapter,
    pictures: list[Image.Image],
    mask: Image.Image | None,
) -> Work:
    canvas = Canvas.of(way, request, pictures[0].size, masked=mask is not None)
    arguments, warnings = way.read(request)
    arguments |= way.strength(request, strength) | way.size_arguments(canvas.drawn)
    if "width" in way.parameters and "strength" not in way.parameters:
        arguments["image"] = pictures if len(pictures) > 1 else pictures[0]  # it looks at them in its own way
    else:
        arguments["image"] = canvas.onto(pictures[0], canvas.drawn)
    if mask is not None:
        arguments["mask_image"] = canvas.onto_mask(mask, canvas.drawn)
    finish = Finish(canvas, pictures[0], mask)
    kept = finish(arguments["image"]) if strength == 0 else None
    return Work(way, arguments, [*warnings, *canvas.warnings], finish, kept)


def _check_mask(mask: Image.Image, picture: Image.Image) -> None:
    if mask.size != picture.size:
        sizes = [f"{width}x{height}" for width, height in (mask.size, picture.size)]
        raise InvalidField(
            f"The mask is {sizes[0]} pixels and the picture {sizes[1]}: send a mask of the picture's size.",
            param="mask",
        )
    if not mask.getbbox():
        raise InvalidField(
            "The mask marks nothing: make transparent (or, in a mask without transparency, white) what is to be drawn.",
            param="mask",
        )


@dataclass(frozen=True, slots=True)
class Canvas:
    """The size in which a picture is drawn and the one in which it comes back; `crops`: of other proportions."""

    drawn: Size
    answered: Size
    crops: bool = False
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, way: PipelineAdapter, request: DiffusionRequest, size: Size, *, masked: bool) -> Canvas:
        """What the client asks for, else the picture's own size as far as the model can draw it."""
        if asked := way.asked_size(request):
            return cls(asked, asked, crops=True)
        drawn = _nearest(size, way.multiple, way.most_pixels)
        if size[0] * size[1] <= way.most_pixels:
            return cls(drawn, size)
        told = f"The picture of {size[0]}x{size[1]} pixels was drawn in {drawn[0]}x{drawn[1]}, the model's own scale"
        if masked:
            return cls(drawn, size, warnings=(f"{told}, and what the mask marks was enlarged again.",))
        return cls(drawn, drawn, warnings=(f"{told}; ask for another `size` if you want one.",))

    def onto(self, picture: Image.Image, size: Size) -> Image.Image:
        """The picture in one of the canvas's sizes."""
        from PIL import Image, ImageOps

        if picture.size == size:
            return picture
        if self.crops:
            return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
        return picture.resize(size, Image.Resampling.LANCZOS)

    def onto_mask(self, mask: Image.Image, size: Size) -> Image.Image:
        """The same for a mask, of which nothing gets lost by scaling: a pixel that is marked in part is marked."""
        from PIL import Image, ImageOps

        if mask.size == size:
            return mask
        scaled = (
            ImageOps.fit(mask, size, Image.Resampling.BOX) if self.crops else mask.resize(size, Image.Resampling.BOX)
        )
        return scaled.point(lambda value: 255 * (value > 0))


@dataclass(frozen=True, slots=True)
class Finish:
    """Makes an answer of what the model drew: in its size, and with the picture as it was outside of the mask."""

    canvas: Canvas
    picture: Image.Image
    mask: Image.Image | None

    def __call__(self, drawn: Image.Image) -> Any:
        from PIL import Image

        size = self.canvas.answered
        if drawn.size != size:
            drawn = drawn.resize(size, Image.Resampling.LANCZOS)
        if self.mask is None:
            return drawn
        return Image.composite(drawn, self.canvas.onto(self.picture, size), self.canvas.onto_mask(self.mask, size))


def _nearest(size: Size, step: int, most: int) -> Size:
    """The size nearest to this one that the model draws, with at most about `most` pixels, in the same proportions."""
    scale = min(1.0, math.sqrt(most / (size[0] * size[1])))
    rounded = math.floor if scale < 1 else round
    width, height = (max(step, rounded(side * scale / step) * step) for side in size)
    return width, height
