"""image-edit: draws a picture anew, in whole or inside a mask, as a prompt says."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from contract.media import ImageInput
from contract.tasks import Task
from contract.tasks.image_generation import DiffusionRequest, ImageGenerationResponse
from contract.tasks.vision import to_list

MAX_IMAGES = 16


class ImageEditRequest(DiffusionRequest):
    """One picture as `image`, or several (a form's `image[]`, a list, or `images`) for models that combine them.

    `strength`: how much of the picture is drawn anew, from 0.0 (it is kept) to 1.0 (all of it).

    `mask`: a picture of the same size as the first one. What is fully transparent in it is drawn anew, everything
    else stays as it is, pixel by pixel. A mask in which nothing is transparent is read as black and white: white is
    drawn anew. Without a mask the fully transparent part of the picture itself is one, for models that fill masks;
    elsewhere transparency shows white.

    `size`: without it the answer is as large as the picture. If that is more than the model draws, it is drawn smaller
    in the same proportions and stays so, but with a mask comes back at its own size. A `size` of other proportions
    cuts off what is too much at two sides, alike.
    """

    no_defaults: ClassVar[frozenset[str]] = frozenset({"size"})

    image: ImageInput | Annotated[list[ImageInput], Field(min_length=1, max_length=MAX_IMAGES)]
    mask: ImageInput | None = None
    strength: float | None = Field(None, ge=0, le=1)
    input_fidelity: str | None = None
    markup: ImageInput | None = None

    @model_validator(mode="before")
    @classmethod
    def _several_under_another_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("images") is not None:
            pictures = [*to_list(data.get("image")), *to_list(data["images"])]
            data = {name: value for name, value in data.items() if name != "images"} | {"image": pictures}
        return data

    @property
    def all_images(self) -> list[ImageInput]:
        """What is to be edited; the mask belongs to the first."""
        return self.image if isinstance(self.image, list) else [self.image]

    def required_features(self) -> frozenset[str]:
        needs = {"images"} if len(self.all_images) > 1 else set()
        if self.strength is not None:
            needs.add("strength")
        return (super().required_features() | needs) - ({"input_fidelity"} if self.input_fidelity == "low" else set())


IMAGE_EDIT = Task("image-edit", "/v1/images/edits", ImageEditRequest, ImageGenerationResponse)
