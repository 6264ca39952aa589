"""Pictures from text with the diffusers library: Stable Diffusion, FLUX and every other text-to-image pipeline."""

from __future__ import annotations

import base64
import importlib
import io
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import InvalidField, LoadFailed, ServeError
from contract.tasks.image_generation import (
    IMAGE_GENERATION,
    MAX_SEED,
    Image,
    ImageGenerationRequest,
    ImageGenerationResponse,
    ImageUsage,
)
from workers.engine import Answer, Call, Device, Engine, Options, serves
from workers.engines.diffusers_image.arguments import Reading
from workers.sources import resolve

_PNG_LEVEL = 1
"""zlib's: files become a little larger than at its usual 6 and are written several times faster."""


class ImageOptions(Options):
    """How pictures are drawn.

    `truncate`: cut a prompt that the text encoder cannot read whole and say so in the answer's `warnings`; false:
    refuse it. `variant`: which weight files to load, such as `fp16`. `true_cfg_scale`: for pipelines with embedded
    guidance (FLUX), the scale of true guidance; above 1 it makes `negative_prompt` work, at twice the time.
    `threads`: torch's, on CPU; null: torch's own.
    """

    truncate: bool = True
    variant: str | None = None
    true_cfg_scale: float | None = Field(None, ge=1)
    threads: int | None = Field(None, ge=1)


class _ClientLeft(Exception):
    """Ends a pipeline between two steps."""


class DiffusersImage(Engine):
    """Any text-to-image pipeline in diffusers' folder layout: a hub id or a local folder.

    Each picture is drawn alone, from a generator of its own on the CPU: its seed gives it again on any day, whatever
    else is asked for with it. Calls are not batched: a batch is equal to its parts only within rounding.
    """

    Options = ImageOptions
    imports = (
        "workers.torchvision_shim",
        "diffusers:AutoPipelineForText2Image",
        # Modules that loading a pipeline asks for beyond that, even where it does not use them.
        "diffusers.guiders",
        "diffusers:OnnxRuntimeModel",
        "diffusers:DEISMultistepScheduler",
        "diffusers:DPMSolverSinglestepScheduler",
        "diffusers:EDMEulerScheduler",
        "diffusers:KDPM2AncestralDiscreteScheduler",
        "diffusers:KDPM2DiscreteScheduler",
        f"{__name__}.warm",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        importlib.import_module("workers.torchvision_shim")  # before anything that imports torchvision
        import torch
        from diffusers import AutoPipelineForText2Image

        options = ImageOptions.model_validate(spec.options)
        if options.threads:
            torch.set_num_threads(options.threads)
        self.pipe = AutoPipelineForText2Image.from_pretrained(
            _folder(spec.source),
            revision=spec.revision,
            variant=options.variant,
            trust_remote_code=spec.trust_remote_code,
            dtype=getattr(torch, device.dtype),
        ).to(device.torch)
        self.pipe.set_progress_bar_config(disable=True)
        self.reading = Reading(self.pipe, truncate=options.truncate, true_cfg_scale=options.true_cfg_scale)

    @serves(IMAGE_GENERATION)
    def generate(
        self, calls: list[Call[ImageGenerationRequest]]
    ) -> Iterator[tuple[Call[ImageGenerationRequest], Answer]]:
        """Draw each call's pictures, one after another, with the seeds `seed`, `seed + 1`, and so on."""
        for call in calls:
            try:
                yield call, self._answer(call)
            except _ClientLeft:
                continue
            except ServeError as error:
                yield call, error

    def _answer(self, call: Call[ImageGenerationRequest]) -> ImageGenerationResponse:
        started = time.perf_counter()
        arguments, warnings = self.reading.read(call.request)
        first = secrets.randbelow(2**32) if call.request.seed is None else call.request.seed
        images = []
        for number in range(call.request.n):
            seed = (first + number) % (MAX_SEED + 1)
            picture, concerns = self._draw(call, number, seed, arguments)
            images.append(Image(b64_json=_png(picture), seed=seed))
            warnings += concerns
        return ImageGenerationResponse(
            created=int(time.time()),
            data=images,
            usage=ImageUsage(latency=round(time.perf_counter() - started, 3), seed=first),
            **({"warnings": warnings} if warnings else {}),
        )

    def _draw(
        self, call: Call[ImageGenerationRequest], number: int, seed: int, arguments: dict[str, Any]
    ) -> tuple[Any, list[str]]:
        """One picture (of Pillow's), and what is to be said about it. Raises _ClientLeft between two steps."""
        import torch

        def after_step(pipe: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            call.progress(number * pipe.num_timesteps + step + 1, call.request.n * pipe.num_timesteps)
            if call.cancelled:
                raise _ClientLeft
            return tensors

        if call.cancelled:
            raise _ClientLeft
        if "callback_on_step_end" in self.reading.parameters:
            arguments = {**arguments, "callback_on_step_end": after_step}
        try:
            output = self.pipe(**arguments, generator=torch.Generator().manual_seed(seed))
        except ValueError as error:
            # Some families ask for more of a size than Reading knows.
            if "divisible" in str(error):
                raise InvalidField(f"`size`: {error}", param="size") from error
            raise
        return output.images[0], _concerns(output, arguments, number)


def _folder(source: str) -> str:
    path = resolve(source)
    if Path(path).is_file():
        raise LoadFailed(f"{source} is a single file; give a folder in diffusers' layout or a hub id as `source`.")
    return path


def _concerns(output: Any, arguments: dict[str, Any], number: int) -> list[str]:
    """What the client should know about a picture that is not quite what it asked for."""
    concerns = []
    if any(getattr(output, "nsfw_content_detected", None) or ()):
        concerns.append(f"Picture {number} was blacked out by the model's safety checker; try another seed or prompt.")
    width, height = output.images[0].size
    if (arguments.get("width", width), arguments.get("height", height)) != (width, height):
        concerns.append(f"Picture {number} is {width}x{height}: the model draws no other size near the one asked for.")
    return concerns


def _png(picture: Any) -> str:
    """The picture as base64 of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return base64.b64encode(buffer.getbuffer()).decode("ascii")
