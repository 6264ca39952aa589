"""The tables of images in docs/vision.md: which files, texts and parts of messages are taken."""

from __future__ import annotations

import json
from collections.abc import Sequence

from scripts.testbed.image_forms import PARTS, TEXTS
from scripts.testbed.images import FILES

ImageRows = list[Sequence[str]]


def files() -> ImageRows:
    """Files, and what becomes of them."""
    return [(file.kind, f"refused as {file.refusal}" if file.refusal else "read") for file in FILES]


def texts() -> ImageRows:
    """The texts as which a file can be sent."""
    return [(text.kind, f"`{text.shown}`") for text in TEXTS]


def parts() -> ImageRows:
    """The parts of messages that hold an image."""
    return [(part.source, f"`{json.dumps(part.part('…'), ensure_ascii=False)}`") for part in PARTS]
