"""image-variation: draws variations of an image."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from contract.limits import Text
from contract.media import ImageInput
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Task
from contract.tasks.image_generation import DiffusionRequest, ImageGenerationResponse


class ImageVariationRequest(DiffusionRequest):
    """`strength` is how much of `image` is redrawn: 0.0 keeps it, 1.0 keeps nothing.

    The default `size` is the same as for edits. OpenAI's variations have no `prompt`; here an optional one says what
    the variations should show.
    """

    no_defaults: ClassVar[frozenset[str]] = frozenset({"size"})

    prompt: Text = ""
    image: ImageInput
    strength: float | None = Field(None, ge=0, le=1)

    def required_features(self) -> frozenset[str]:
        return super().required_features() | ({"strength"} if self.strength is not None else set())


IMAGE_VARIATION = Task(
    "image-variation",
    "/v1/images/variations",
    ImageVariationRequest,
    ImageGenerationResponse,
    outputs=("image",),
    example={"image": SAMPLE_IMAGE, "size": "128x128", "steps": 4, "seed": 7},
)
