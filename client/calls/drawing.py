"""Image generation, edits and variations."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from client.call import ApiCall, body_of
from client.images import ImageSource, decode_image, image_value


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """An image as the bytes of its file, PNG by default, and the seed that draws it again."""

    file: bytes
    seed: int | None = None

    @property
    def image(self) -> Image.Image:
        """The decoded image."""
        return decode_image(base64.b64encode(self.file).decode())

    def save(self, path: str | Path) -> None:
        """Write the file as it is."""
        Path(path).write_bytes(self.file)


def draw(
    prompt: str,
    *,
    model: str | None = None,
    n: int | None = None,
    size: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    guidance: float | None = None,
    negative_prompt: str | None = None,
    **fields: Any,
) -> ApiCall[list[DrawnImage]]:
    """Draw images of what a prompt describes. `size` is `WIDTHxHEIGHT` in pixels."""
    body = body_of(
        model=model, prompt=prompt, n=n, size=size, steps=steps, seed=seed, guidance=guidance,
        negative_prompt=negative_prompt, **fields,
    )  # fmt: skip
    return ApiCall("POST", "/v1/images/generations", _images, body)


def edit_image(
    image: ImageSource | Sequence[ImageSource],
    prompt: str,
    *,
    mask: ImageSource | None = None,
    strength: float | None = None,
    model: str | None = None,
    **fields: Any,
) -> ApiCall[list[DrawnImage]]:
    """Redraw an image, or the transparent part of its mask. `fields` are those of `draw`."""
    images: Any = [image_value(one) for one in image] if isinstance(image, list | tuple) else image_value(image)
    body = body_of(model=model, image=images, prompt=prompt, strength=strength, **fields)
    if mask is not None:
        body["mask"] = image_value(mask)
    return ApiCall("POST", "/v1/images/edits", _images, body)


def vary_image(
    image: ImageSource,
    *,
    prompt: str | None = None,
    strength: float | None = None,
    model: str | None = None,
    **fields: Any,
) -> ApiCall[list[DrawnImage]]:
    """Draw variations of an image. `fields` are those of `draw`."""
    body = body_of(model=model, image=image_value(image), prompt=prompt, strength=strength, **fields)
    return ApiCall("POST", "/v1/images/variations", _images, body)


def _images(document: dict[str, Any]) -> list[DrawnImage]:
    return [DrawnImage(base64.b64decode(row["b64_json"]), row.get("seed")) for row in document["data"]]
