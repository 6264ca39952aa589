"""Loads image engines, sends them requests, and decodes their answers; for tests of image models."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.image_edit import ImageEditRequest
from contract.tasks.image_generation import DiffusionRequest, ImageGenerationRequest, ImageGenerationResponse
from contract.tasks.image_variation import ImageVariationRequest
from workers.engine import Call, Device
from workers.registry import find_engine

Painter = Callable[[str], Any]
"""Loads the engine with a family's tiny model: `painter("flux")`."""

_REQUESTS: dict[str, type[DiffusionRequest]] = {
    "generate": ImageGenerationRequest,
    "edit": ImageEditRequest,
    "vary": ImageVariationRequest,
}


def load(source: object, memory: int | None = None, **options: Any) -> Any:
    """The engine with a model, on one thread of the CPU: more would slow down tests that run in parallel.

    `memory`: what the device has for models, in bytes.
    """
    engine = find_engine("diffusers_image")()
    spec = ModelSpec(id="painter", engine="diffusers_image", source=str(source), options={"threads": 1} | options)
    engine.load(spec, Device("cpu", "float32", memory))
    return engine


def ask(method: str = "generate", **fields: Any) -> Call[Any]:
    """A call for a small image in a few steps."""
    plain = {"prompt": "a red box", "steps": 3} | ({"size": "64x64"} if method == "generate" else {})
    return Call(_REQUESTS[method].model_validate(plain | fields))


def draw(engine: Any, method: str = "generate", **fields: Any) -> ImageGenerationResponse:
    """The engine's answer. Raises its ServeError."""
    [(_, answer)] = getattr(engine, method)([ask(method, **fields)])
    if isinstance(answer, ServeError):
        raise answer
    assert isinstance(answer, ImageGenerationResponse)
    return answer


def edited(engine: Any, **fields: Any) -> Any:
    """Pixels of an edit with a fixed seed."""
    return pixels(draw(engine, "edit", **{"seed": 7, **fields}))


def opened(answer: ImageGenerationResponse, number: int = 0) -> Image.Image:
    """One of the answer's images, decoded from its file."""
    return Image.open(io.BytesIO(base64.b64decode(answer.data[number].b64_json)))


def pixels(answer: ImageGenerationResponse, number: int = 0) -> Any:
    """uint8, shape (height, width, 3)."""
    return np.asarray(opened(answer, number))


def mosaic(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """Large squares of random colours."""
    squares = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(squares).resize((width, height), Image.Resampling.NEAREST)


def left_half(width: int = 64, height: int = 64) -> Image.Image:
    """A mask in mode L, white in its left half."""
    mask = Image.new("L", (width, height), 0)
    mask.paste(255, (0, 0, width // 2, height))
    return mask


def transparent(mask: Image.Image, colour: str = "black") -> Image.Image:
    """The same mask as OpenAI's clients send it: transparent where it is white."""
    image = Image.new("RGBA", mask.size, colour)
    image.putalpha(mask.point(lambda value: 255 - value))
    return image
