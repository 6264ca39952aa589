"""Draws one image with a pipeline, and says where it differs from what the client asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contract.errors import InvalidField
from contract.tasks.image_generation import DiffusionRequest
from workers.engines.diffusers_image.arguments import PipelineAdapter
from workers.toolkit.drawing.answering import ImageProgress


@dataclass(frozen=True, slots=True)
class PipelineCall:
    """A pipeline and its arguments for one request; `finish` turns what the pipeline drew into the image to send."""

    adapter: PipelineAdapter
    request: DiffusionRequest
    arguments: dict[str, Any]
    finish: Callable[[Any], Any] = field(default=lambda image: image)

    def __call__(self, seed: int, progress: ImageProgress) -> tuple[Any, list[str]]:
        """One image (of Pillow's) and the warnings about it. Raises DrawingCancelled between two steps."""
        import torch

        def on_step_end(pipe: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            progress.report(step + 1, pipe.num_timesteps)
            return tensors

        arguments = self.arguments
        if "callback_on_step_end" in self.adapter.parameters:
            arguments = {**arguments, "callback_on_step_end": on_step_end}
        try:
            output = self.adapter.pipe(**arguments, generator=torch.Generator().manual_seed(seed))
        except ValueError as error:
            if refusal := self._refusal(error):
                raise refusal from error
            raise
        image = self.finish(output.images[0])
        return image, self._warnings(output, image, progress.index)

    def _refusal(self, error: ValueError) -> InvalidField | None:
        """The client's error, where a family has stricter rules for sizes or images than PipelineAdapter knows."""
        if "divisible" in str(error):
            return InvalidField(f"`size`: {error}", param="size")
        if "image" in self.arguments and str(error).startswith(("Image ", "Aspect ratio ")):
            return InvalidField(f"The model does not accept this image: {error}.", param="image")
        return None

    def _warnings(self, output: Any, image: Any, index: int) -> list[str]:
        """What the client should know about an image that is not quite what it asked for."""
        warnings = []
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            warnings.append(f"Image {index} was blacked out by the model's safety checker; try another seed or prompt.")
        if self.request.pixels not in {None, image.size}:
            width, height = image.size
            warnings.append(f"Image {index} is {width}x{height}, the nearest size that the model can draw.")
        return warnings
