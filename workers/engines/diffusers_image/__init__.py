"""Pictures with the diffusers library: Stable Diffusion, FLUX and its other pipelines draw, edit and vary them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.image_edit import IMAGE_EDIT, ImageEditRequest
from contract.tasks.image_generation import IMAGE_GENERATION, ImageGenerationRequest
from contract.tasks.image_variation import IMAGE_VARIATION, ImageVariationRequest
from workers.engine import Call, Device, Engine, Output, serves
from workers.engines.diffusers_image import drawing, editing, loading
from workers.engines.diffusers_image.drawing import ClientLeft, Work
from workers.engines.diffusers_image.options import ImageOptions
from workers.engines.diffusers_image.pipelines import Pipelines
from workers.toolkit import pretrained

Answers = Iterator[tuple[Call[Any], Output]]


class DiffusersImage(Engine):
    """Any text-to-image or editing pipeline of diffusers: a hub id, a folder, or a single checkpoint file.

    Each picture is drawn alone, from a generator of its own on the CPU: its seed gives it again on any day, whatever
    else is asked for with it. Calls are not batched: a batch is equal to its parts only within rounding.
    """

    Options = ImageOptions
    features: ClassVar[frozenset[str]] = frozenset({"images", "mask", "output_format", "strength"})
    imports = (
        "workers.toolkit.torchvision_shim",
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
        options = ImageOptions.model_validate(spec.options)
        pretrained.set_up_torch(options)
        pipe = loading.load(spec, device, options)
        self.pipelines = Pipelines(pipe, truncate=options.truncate, true_cfg_scale=options.true_cfg_scale)

    def loaded_features(self) -> frozenset[str]:
        return self.pipelines.features | {"output_format"}

    @serves(IMAGE_GENERATION)
    def generate(self, calls: list[Call[ImageGenerationRequest]]) -> Answers:
        """Draw pictures from words."""
        return self._answers(calls, self._generation)

    @serves(IMAGE_EDIT)
    def edit(self, calls: list[Call[ImageEditRequest]]) -> Answers:
        """Draw pictures anew, in whole or inside a mask."""
        return self._answers(calls, lambda request: editing.edit(request, self.pipelines))

    @serves(IMAGE_VARIATION)
    def vary(self, calls: list[Call[ImageVariationRequest]]) -> Answers:
        """Draw pictures like a given one."""
        return self._answers(calls, lambda request: editing.vary(request, self.pipelines))

    def _generation(self, request: ImageGenerationRequest) -> Work:
        way = self.pipelines.drawing()
        size = way.asked_size(request)
        arguments, warnings = way.read(request)
        return Work(way, arguments | (way.size_arguments(size) if size else {}), warnings)

    def _answers(self, calls: list[Call[Any]], plan: Callable[[Any], Work]) -> Answers:
        """Answer each call's pictures, one after another."""
        for call in calls:
            if call.cancelled:
                continue
            try:
                yield call, drawing.answer(call, plan)
            except ClientLeft:
                continue
            except ServeError as error:
                yield call, error
