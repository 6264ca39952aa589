"""Draws what a call asks for, picture after picture, each from a generator of its own, and writes them as files."""

from __future__ import annotations

import base64
import io
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contract.errors import InvalidField
from contract.tasks.image_generation import MAX_SEED, DiffusionRequest, Image, ImageGenerationResponse, ImageUsage
from workers.engine import Call
from workers.engines.diffusers_image.arguments import PipelineAdapter

_PNG_LEVEL = 1
"""zlib's: files become a little larger than at its usual 6 and are written several times faster."""
_PILLOW_NAMES = {None: "PNG", "png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}


class ClientLeft(Exception):
    """Ends a pipeline between two steps."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a request comes down to: a pipeline, its arguments, what is to be told, and what is made of a picture.

    `kept` is the answer itself where nothing is to be drawn.
    """

    way: PipelineAdapter
    arguments: dict[str, Any]
    warnings: list[str]
    finish: Callable[[Any], Any] = field(default=lambda picture: picture)
    kept: Any = None


def answer(call: Call[Any], plan: Callable[[Any], Work]) -> ImageGenerationResponse:
    """The pictures of a call, with the seeds `seed`, `seed + 1`, and so on. Raises ClientLeft between two steps."""
    started = time.perf_counter()
    request: DiffusionRequest = call.request
    kind = _file_kind(request)
    work = plan(request)
    first = secrets.randbelow(2**32) if request.seed is None else request.seed
    images, warnings = [], list(work.warnings)
    for number in range(request.n):
        seed = (first + number) % (MAX_SEED + 1)
        picture, concerns = _draw(call, number, seed, work)
        images.append(Image(b64_json=_encoded(picture, kind, request.output_compression), seed=seed))
        warnings += concerns
    return ImageGenerationResponse(
        created=int(time.time()),
        data=images,
        usage=ImageUsage(latency=round(time.perf_counter() - started, 3), seed=first),
        **({"warnings": warnings} if warnings else {}),
    )


def _draw(call: Call[Any], number: int, seed: int, work: Work) -> tuple[Any, list[str]]:
    """One picture (of Pillow's), and what is to be said about it."""
    import torch

    def after_step(pipe: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        call.progress(number * pipe.num_timesteps + step + 1, call.request.n * pipe.num_timesteps)
        if call.cancelled:
            raise ClientLeft
        return tensors

    if call.cancelled:
        raise ClientLeft
    if work.kept is not None:
        return work.kept, []
    arguments = work.arguments
    if "callback_on_step_end" in work.way.parameters:
        arguments = {**arguments, "callback_on_step_end": after_step}
    try:
        output = work.way.pipe(**arguments, generator=torch.Generator().manual_seed(seed))
    except ValueError as error:
        # Some families ask for more of a size or a picture than Reading knows.
        if "divisible" in str(error):
            raise InvalidField(f"`size`: {error}", param="size") from error
        if "image" in arguments and str(error).startswith(("Image ", "Aspect ratio ")):
            raise InvalidField(f"The model does not take this picture: {error}.", param="image") from error
        raise
    picture = work.finish(output.images[0])
    return picture, _concerns(output, picture, call.request, number)


def _concerns(output: Any, picture: Any, request: DiffusionRequest, number: int) -> list[str]:
    """What the client should know about a picture that is not quite what it asked for."""
    concerns = []
    if any(getattr(output, "nsfw_content_detected", None) or ()):
        concerns.append(f"Picture {number} was blacked out by the model's safety checker; try another seed or prompt.")
    if request.pixels not in {None, picture.size}:
        width, height = picture.size
        concerns.append(f"Picture {number} is {width}x{height}: the model draws no other size near the one asked for.")
    return concerns


def _file_kind(request: DiffusionRequest) -> str:
    """Pillow's name of the files asked for. Raises InvalidField."""
    kind = _PILLOW_NAMES.get(request.output_format)
    if kind is None:
        raise InvalidField(
            f"`output_format`: {request.output_format} is not written here; ask for png, jpeg or webp.",
            param="output_format",
        )
    return kind


def _encoded(picture: Any, kind: str, quality: int | None) -> str:
    """The picture as base64 of a file; `quality` from 0 to 100 is for JPEG and WebP."""
    buffer = io.BytesIO()
    options = {"compress_level": _PNG_LEVEL} if kind == "PNG" else {"quality": 100 if quality is None else quality}
    picture.save(buffer, kind, **options)
    return base64.b64encode(buffer.getbuffer()).decode("ascii")
