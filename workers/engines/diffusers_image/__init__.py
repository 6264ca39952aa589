"""Image generation, edits and variations with diffusers: Stable Diffusion, FLUX and its other pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from contract.config import ModelSpec
from contract.tasks.image_edit import IMAGE_EDIT, ImageEditRequest
from contract.tasks.image_generation import IMAGE_GENERATION, ImageGenerationRequest
from contract.tasks.image_variation import IMAGE_VARIATION, ImageVariationRequest
from workers.engine import Call, Device, Engine, Output, serves
from workers.engines.diffusers_image import editing, loading
from workers.engines.diffusers_image.drawing import PipelineCall
from workers.engines.diffusers_image.options import ImageOptions
from workers.engines.diffusers_image.pipelines import Pipelines
from workers.toolkit import pretrained
from workers.toolkit.drawing.answering import Drawing, answer_calls

ImageOutputs = Iterator[tuple[Call[Any], Output]]


class DiffusersImage(Engine):
    """Any text-to-image or editing pipeline of diffusers: a hub id, a folder, or a single checkpoint file.

    Every image has a random generator of its own, on the CPU: its seed reproduces it later, whatever else is requested
    at the same time. Calls are not batched, because a batch equals its parts only up to rounding.
    """

    extras: ClassVar[tuple[str, ...]] = ("images",)
    Options = ImageOptions
    features: ClassVar[frozenset[str]] = frozenset({"images", "mask", "output_format", "strength"})
    imports = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        "diffusers:AutoPipelineForText2Image",
        # Modules that loading a pipeline imports beyond that, even if it does not use them.
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
        options = ImageOptions.model_validate(spec.options)
        pretrained.set_up_torch(options)
        pipe = loading.load(spec, device, options)
        self.pipelines = Pipelines(
            pipe,
            truncate=options.truncate,
            true_cfg_scale=options.true_cfg_scale,
            device_memory=device.memory,
        )

    def loaded_features(self) -> frozenset[str]:
        return self.pipelines.features | {"output_format"}

    @serves(IMAGE_GENERATION)
    def generate(self, calls: list[Call[ImageGenerationRequest]]) -> ImageOutputs:
        """Draw images from text."""
        return answer_calls(calls, self._generation)

    @serves(IMAGE_EDIT)
    def edit(self, calls: list[Call[ImageEditRequest]]) -> ImageOutputs:
        """Redraw images, as a whole or inside a mask."""
        return answer_calls(calls, lambda request: editing.edit(request, self.pipelines))

    @serves(IMAGE_VARIATION)
    def vary(self, calls: list[Call[ImageVariationRequest]]) -> ImageOutputs:
        """Draw images similar to a given one."""
        return answer_calls(calls, lambda request: editing.vary(request, self.pipelines))

    def _generation(self, request: ImageGenerationRequest) -> Drawing:
        adapter = self.pipelines.for_generation()
        size = adapter.requested_size(request)
        arguments, warnings = adapter.read(request)
        if size:
            arguments |= adapter.size_arguments(size)
        return Drawing(PipelineCall(adapter, request, arguments), warnings)
