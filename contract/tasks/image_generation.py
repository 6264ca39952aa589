"""image-generation: a text to pictures, OpenAI's fields and the diffusion parameters that local models take."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from contract.tasks import Request, Response, Task

MAX_SEED = 2**63 - 1


class ImageGenerationRequest(Request):
    """`size` is `WIDTHxHEIGHT` in pixels or `auto`; what is left out comes from the entry's `defaults`."""

    prompt: str = Field(min_length=1)
    n: int = Field(1, ge=1, le=16)
    size: str | None = None
    response_format: Literal["b64_json", "url"] | None = None
    steps: int | None = Field(None, ge=1, le=500)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    guidance: float | None = Field(None, ge=0, le=100)
    negative_prompt: str | None = None
    quality: str | None = None
    style: str | None = None
    background: str | None = None
    moderation: str | None = None
    output_format: Literal["png"] | None = None
    output_compression: int | None = None
    stream: bool | None = None
    partial_images: int | None = None
    user: str | None = None

    @field_validator("size")
    @classmethod
    def _is_a_size(cls, value: str | None) -> str | None:
        if value not in {None, "auto"}:
            match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", value or "")
            if not match or not all(16 <= int(side) <= 8192 for side in match.groups()):
                raise ValueError("write the size as WIDTHxHEIGHT, each from 16 to 8192 pixels, such as 512x512")
        return value

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height in pixels, if the client asked for some."""
        if self.size in {None, "auto"}:
            return None
        width, _, height = str(self.size).partition("x")
        return int(width), int(height)

    def needs(self) -> frozenset[str]:
        optional = ("style", "background", "stream", "partial_images")
        needs = {name for name in optional if getattr(self, name) not in {None, False, "auto"}}
        if self.quality not in {None, "auto", "standard", "medium"}:
            needs.add("quality")
        if self.response_format == "url":
            needs.add("response_format")
        return frozenset(needs)


class Image(BaseModel):
    """One picture as base64 of a PNG file, and the seed that draws it again."""

    b64_json: str
    revised_prompt: str | None = None
    seed: int | None = None


class ImageUsage(BaseModel):
    """`latency` in seconds; `seed` is the first picture's."""

    latency: float
    seed: int


class ImageGenerationResponse(Response):
    created: int
    data: list[Image]
    usage: ImageUsage


IMAGE_GENERATION = Task("image-generation", "/v1/images/generations", ImageGenerationRequest, ImageGenerationResponse)
