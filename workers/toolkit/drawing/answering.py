"""Answers calls for images: one image after another, each from its own seed, until the client disconnects."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contract.errors import ServeError
from contract.tasks.image_generation import MAX_SEED, DiffusionRequest, Image, ImageGenerationResponse, ImageUsage
from workers.engine import Call, Output
from workers.toolkit.drawing.encoding import encode_image, file_format
from workers.toolkit.finite import not_finite

_RANDOM_SEEDS = 2**32


class DrawingCancelled(Exception):
    """Ends a drawing between two steps: the client has disconnected."""


class ImageProgress:
    """Progress of one of a call's images: engines report every step, and stop when that raises DrawingCancelled."""

    def __init__(self, call: Call[Any], index: int) -> None:
        self.index = index
        self._call = call

    def report(self, step: int, steps: int) -> None:
        """Note that `step` of the image's `steps` are done. Raises DrawingCancelled."""
        self._call.progress(self.index * steps + step, self._call.request.n * steps)
        self.check_cancelled()

    def check_cancelled(self) -> None:
        """Raises DrawingCancelled once the client has disconnected."""
        if self._call.cancelled:
            raise DrawingCancelled


class _CastLog:
    """numpy's log of errors: notes whether pixels that are not numbers were cast to bytes, which makes them black."""

    invalid = False

    def write(self, message: str) -> None:
        self.invalid = self.invalid or "cast" in message


@dataclass(frozen=True, slots=True)
class Drawing:
    """How to draw one request.

    `draw(seed, progress)` makes one image (of Pillow's) and the warnings about it; `warnings` concern all images.
    """

    draw: Callable[[int, ImageProgress], tuple[Any, Sequence[str]]]
    warnings: Sequence[str] = ()


def answer_calls(calls: Iterable[Call[Any]], plan: Callable[[Any], Drawing]) -> Iterator[tuple[Call[Any], Output]]:
    """Answer each call once its last image is drawn. `plan(request)` raises ServeError for what cannot be drawn.

    Cancelled calls get no answer; a ServeError is the answer of its call only.
    """
    for call in calls:
        if call.cancelled:
            continue
        try:
            yield call, _answer(call, plan)
        except DrawingCancelled:
            continue
        except ServeError as error:
            yield call, error


def _answer(call: Call[Any], plan: Callable[[Any], Drawing]) -> ImageGenerationResponse:
    """The images of a call, with the seeds `seed`, `seed + 1` and so on; random ones if the request has none."""
    import numpy as np

    started = time.perf_counter()
    request: DiffusionRequest = call.request
    image_format = file_format(request.output_format)
    drawing = plan(request)
    first_seed = secrets.randbelow(_RANDOM_SEEDS) if request.seed is None else request.seed
    images, size, warnings = [], None, list(drawing.warnings)
    for index in range(request.n):
        progress = ImageProgress(call, index)
        progress.check_cancelled()
        seed = (first_seed + index) % (MAX_SEED + 1)
        casts = _CastLog()
        with np.errstate(invalid="log", call=casts):
            image, image_warnings = drawing.draw(seed, progress)
        if casts.invalid:
            raise not_finite(request.model or "The model", "image", index)
        encoded = encode_image(image, image_format, request.output_compression)
        images.append(Image(b64_json=encoded, revised_prompt=request.prompt or None, seed=seed))
        size = f"{image.width}x{image.height}"
        warnings += image_warnings
    return ImageGenerationResponse(
        created=int(time.time()),
        data=images,
        size=size,
        usage=ImageUsage(latency=round(time.perf_counter() - started, 3), seed=first_seed),
        warnings=warnings or None,
    )
