"""Draws what a model saw onto the image: boxes with their labels, masks, and depth in colours."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from client.calls.vision import Corners, EstimatedDepth, FoundObject, FoundSegment

Colour = tuple[int, int, int]


def boxes(image: Image.Image, objects: Sequence[FoundObject]) -> Image.Image:
    """The image with a box around each object."""
    drawn = image.copy()
    for number, found in enumerate(objects):
        _box(drawn, found.box, f"{found.label} {found.score:.2f}", colour(number))
    return drawn


def masks(image: Image.Image, segments: Sequence[FoundSegment]) -> Image.Image:
    """The image with each segment's mask in a colour of its own, half transparent."""
    pixels = np.asarray(image, np.float32).copy()
    for number, found in enumerate(segments):
        pixels[found.mask] = 0.5 * pixels[found.mask] + 0.5 * np.asarray(colour(number), np.float32)
    drawn = Image.fromarray(pixels.astype(np.uint8))
    for number, found in enumerate(segments):
        if found.area:
            _box(drawn, found.box, f"{found.label or 'segment'} {found.score:.2f}", colour(number))
    return drawn


def depth(estimate: EstimatedDepth) -> Image.Image:
    """The depth in colours: warm is near, cold is far."""
    values = estimate.depth
    low, high = float(values.min()), float(values.max())
    nearness = (values - low) / (high - low or 1)
    if estimate.kind == "depth":
        nearness = 1 - nearness
    return Image.fromarray(_palette()[(nearness * 255).astype(np.uint8)])


def colour(number: int) -> Colour:
    """A bright colour for each number; neighbours differ clearly."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.85, 1)
    return round(255 * red), round(255 * green), round(255 * blue)


def _palette() -> np.ndarray[Any, Any]:
    """256 colours from blue over green to red."""
    hues = [colorsys.hsv_to_rgb(0.66 * (1 - step / 255), 1, 1) for step in range(256)]
    palette: np.ndarray[Any, Any] = (255 * np.asarray(hues)).astype(np.uint8)
    return palette


def _box(image: Image.Image, box: Corners, label: str, line: Colour) -> None:
    draw = ImageDraw.Draw(image)
    width = max(2, round(max(image.size) / 400))
    font = ImageFont.load_default(max(12, round(max(image.size) / 50)))
    draw.rectangle(box, outline=line, width=width)
    left, top, right, bottom = draw.textbbox((box[0], box[1]), label, font=font)
    above = max(0.0, box[1] - (bottom - top) - 2 * width)
    shift = above - top
    draw.rectangle((left, top + shift, right + 2 * width, bottom + shift + width), fill=line)
    draw.text((box[0] + width, box[1] + shift), label, fill=(0, 0, 0), font=font)
