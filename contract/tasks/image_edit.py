"""image-edit: redraws an image, or the masked part of it, as a prompt says."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from contract.known_fields import Requirement
from contract.limits import Name
from contract.media import ImageInput
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Task
from contract.tasks.image_generation import DiffusionRequest, ImageGenerationResponse
from contract.tasks.vision import all_of

MAX_IMAGES = 16

EditedImages = ImageInput | Annotated[list[ImageInput], Field(min_length=1, max_length=MAX_IMAGES, fail_fast=True)]


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

    images: EditedImages | None = None
    image: EditedImages | None = Field(None, validate_default=True)  # after `images`, which its validator reads
    mask: ImageInput | None = None
    strength: float | None = Field(None, ge=0, le=1)
    input_fidelity: Name | None = None
    markup: ImageInput | None = None

    @field_validator("image")
    @classmethod
    def _check_image(cls, value: ImageInput | list[ImageInput] | None, info: ValidationInfo) -> Any:
        if "images" not in info.data:  # wrong, which has its own error
            return value
        images = all_of(value, info.data["images"])
        if not images:
            raise ValueError("this field is required")
        if len(images) > MAX_IMAGES:
            raise ValueError(f"send at most {MAX_IMAGES} images")
        return value

    @property
    def all_images(self) -> list[ImageInput]:
        """The images to edit; the mask applies to the first."""
        return all_of(self.image, self.images)

    @property
    def images_field(self) -> str:
        """The field in which the images were sent."""
        return "image" if self.images is None else "images"

    def required_features(self) -> frozenset[str]:
        needs = {"images"} if len(self.all_images) > 1 else set()
        if self.strength is not None:
            needs.add("strength")
        return super().required_features() | needs

    def requirements(self) -> list[Requirement]:
        return [
            (self.images_field if feature == "images" else name, feature) for name, feature in super().requirements()
        ]


IMAGE_EDIT = Task(
    "image-edit",
    "/v1/images/edits",
    ImageEditRequest,
    ImageGenerationResponse,
    inputs=("text", "image"),
    outputs=("image",),
    example={"image": SAMPLE_IMAGE, "prompt": "make it sunset", "size": "128x128", "steps": 4, "seed": 7},
)
