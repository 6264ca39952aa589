"""image-generation: draws images from a text, with OpenAI's fields and the parameters of diffusion models."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from contract.known_fields import FieldTable, honoured, ignored, neutral, refused
from contract.lazy_model import LazyModel
from contract.limits import Name, Text
from contract.omittable import Omittable
from contract.tasks import Request, Response, Task

MAX_SEED = 2**63 - 1

_SEVERAL = "Several images need `images`; other models take one."

FIELDS: FieldTable = {
    **honoured("OpenAI", "model prompt n size"),
    **honoured("OpenAI", "image", hint=_SEVERAL),
    **honoured("OpenAI", "response_format", hint="`b64_json`; an image has no URL."),
    **honoured("OpenAI", "output_format", hint="PNG; JPEG and WebP need `output_format`."),
    **honoured("OpenAI", "output_compression"),
    **honoured("OpenAI", "mask", hint="Needs `mask`."),
    **honoured("Enginehouse", "images", hint=_SEVERAL),
    **honoured("Enginehouse", "steps seed guidance negative_prompt keep_alive"),
    **honoured("Enginehouse", "strength", hint="Needs `strength`."),
    **neutral("OpenAI", "moderation safety_identifier user"),
    **ignored("OpenAI", "quality", also=("auto", "standard", "medium"), hint="Send `steps`."),
    **ignored("OpenAI", "style", hint="Say it in the prompt."),
    **ignored("Stable Diffusion's servers", "width height", hint="Send `size`, such as 512x512."),
    **ignored("Stable Diffusion's servers", "num_inference_steps num_steps sample_steps", hint="Send `steps`."),
    **ignored("Stable Diffusion's servers", "guidance_scale cfg_scale", hint="Send `guidance`."),
    **ignored("Stable Diffusion's servers", "num_images num_images_per_prompt batch_size", hint="Send `n`."),
    **refused("OpenAI", "background", also=("auto", "opaque"), hint="Every image is opaque."),
    **refused("OpenAI", "input_fidelity", also=("low", "auto"), hint="Send `strength`."),
    **refused("OpenAI", "stream partial_images complexity frame_count frame_duration_ms markup svg", also=("auto",)),
}
"""What happens to the fields of OpenAI's API of images, and to ours."""


class DiffusionRequest(Request):
    """The fields that generation, edits and variations share; the entry's `defaults` fill in missing ones.

    `size` is `WIDTHxHEIGHT` in pixels or `auto`. Image n of several is drawn with `seed` + n. `guidance` is how
    closely to follow the prompt, `output_compression` the quality of a JPEG or WebP from 0 to 100.
    """

    known_fields: ClassVar[FieldTable] = FIELDS

    prompt: Text = Field(min_length=1)
    n: int = Field(1, ge=1, le=16)
    size: Name | None = None
    response_format: Literal["b64_json", "url"] | None = None
    steps: int | None = Field(None, ge=1, le=500)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    guidance: float | None = Field(None, ge=0, le=100)
    negative_prompt: Text | None = None
    quality: Name | None = None
    background: Name | None = None
    moderation: Name | None = None
    complexity: Name | None = None
    output_format: Literal["png", "jpeg", "webp", "gif", "svg"] | None = None
    output_compression: int | None = Field(None, ge=0, le=100)
    frame_count: int | None = None
    frame_duration_ms: int | None = None
    svg: dict[str, Any] | None = None
    stream: bool | None = None
    partial_images: int | None = None
    safety_identifier: Name | None = None
    user: Name | None = None

    @field_validator("size")
    @classmethod
    def _check_size(cls, value: str | None) -> str | None:
        if value not in {None, "auto"}:
            match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", value or "")
            if not match or not all(16 <= int(side) <= 8192 for side in match.groups()):
                raise ValueError(
                    "write the size as WIDTHxHEIGHT, such as 512x512; each side may have 16 to 8192 pixels"
                )
        return value

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height in pixels; None if the client left the size open."""
        if self.size in {None, "auto"}:
            return None
        width, _, height = str(self.size).partition("x")
        return int(width), int(height)

    def required_features(self) -> frozenset[str]:
        needs = {"mask"} if getattr(self, "mask", None) else set()
        if self.response_format == "url":
            needs.add("response_format")
        if self.output_format not in {None, "png"}:
            needs.add("output_format")
        return frozenset(needs)


class ImageGenerationRequest(DiffusionRequest):
    """Draws what `prompt` describes."""

    style: Name | None = None


class Image(LazyModel):
    """One image as base64 of a file (PNG by default), and the seed that reproduces it.

    `revised_prompt` is the prompt of the request: no model changes it.
    """

    b64_json: str
    revised_prompt: str | None = None
    seed: int | None = None


class ImageUsage(LazyModel):
    """`latency` is in seconds; `seed` is the first image's."""

    latency: float
    seed: int


class ImageGenerationResponse(Response):
    """The response of generation, edits and variations. `size` is that of all images, `WIDTHxHEIGHT` in pixels."""

    created: int
    data: list[Image]
    size: Omittable[str] = None
    usage: ImageUsage


IMAGE_GENERATION = Task(
    "image-generation",
    "/v1/images/generations",
    ImageGenerationRequest,
    ImageGenerationResponse,
    inputs=("text",),
    outputs=("image",),
    example={"prompt": "a red barn in the snow", "size": "128x128", "steps": 4, "seed": 7},
)
