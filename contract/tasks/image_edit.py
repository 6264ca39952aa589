"""image-edit: redraws an image, or the masked part of it, as a prompt says."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from contract.limits import Name
from contract.media import ImageInput
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Task
from contract.tasks.image_generation import DiffusionRequest, ImageGenerationResponse
from contract.tasks.vision import to_list

MAX_IMAGES = 16


class ImageEditRequest(DiffusionRequest):
    """One image as `image`, or several (a form's `image[]`, a list, or `images`) for models that combine them.

    `strength`: how much of the image is redrawn, from 0.0 (nothing) to 1.0 (everything).

    `mask`: an image of the same size as the first one. Its fully transparent pixels are redrawn; all others stay
    exactly as they are. A mask without transparency is read as black and white, and white is redrawn. Without a mask,
    models that fill masks redraw the fully transparent part of the image itself; other models see it as white.

    `size`: by default the result is as large as the image. An image larger than the model can draw is drawn smaller in
    the same proportions, and only an edit with a mask is scaled back to its original size. If `size` has other
    proportions than the image, two opposite sides are cropped equally.
    """

    no_defaults: ClassVar[frozenset[str]] = frozenset({"size"})

    image: ImageInput | Annotated[list[ImageInput], Field(min_length=1, max_length=MAX_IMAGES, fail_fast=True)]
    mask: ImageInput | None = None
    strength: float | None = Field(None, ge=0, le=1)
    input_fidelity: Name | None = None
    markup: ImageInput | None = None

    @model_validator(mode="before")
    @classmethod
    def _merge_images_into_image(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("images") is not None:
            images = [*to_list(data.get("image")), *to_list(data["images"])]
            data = {name: value for name, value in data.items() if name != "images"} | {"image": images}
        return data

    @property
    def all_images(self) -> list[ImageInput]:
        """The images to edit; the mask applies to the first."""
        return self.image if isinstance(self.image, list) else [self.image]

    def required_features(self) -> frozenset[str]:
        needs = {"images"} if len(self.all_images) > 1 else set()
        if self.strength is not None:
            needs.add("strength")
        return super().required_features() | needs


IMAGE_EDIT = Task(
    "image-edit",
    "/v1/images/edits",
    ImageEditRequest,
    ImageGenerationResponse,
    inputs=("text", "image"),
    outputs=("image",),
    example={"image": SAMPLE_IMAGE, "prompt": "make it sunset", "size": "128x128", "steps": 4, "seed": 7},
)
