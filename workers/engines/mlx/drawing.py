"""Image generation with mflux: FLUX.1 schnell and dev, from the hub's folders or those that mflux has saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from contract.config import ModelSpec
from contract.errors import LoadFailed
from contract.tasks.image_generation import ImageGenerationRequest
from workers.engine import Call, Device, Output
from workers.engines.mlx.loading import BITS
from workers.engines.mlx.options import MlxOptions
from workers.toolkit import snapshots
from workers.toolkit.drawing.answering import Drawing, ImageProgress, answer_calls
from workers.toolkit.drawing.limits import (
    GUIDANCE_HAS_NO_EFFECT,
    no_negative_prompt,
    prompt_warnings,
    requested_size,
)
from workers.toolkit.drawing.memory import DrawingMemory

_NATIVE = 1024
"""The side of the square that FLUX was trained to draw."""
_MULTIPLE = 16
"""Widths and heights must be multiples of it: eight pixels per latent, two latents per patch."""
_STEPS = {"schnell": 4, "dev": 25}
"""The defaults of mflux's command line."""


class MlxDrawing:
    """A loaded FLUX.1. It draws one image at a time, each from its own seed."""

    def __init__(self, flux: Any, variant: str, *, truncate: bool = True, memory: DrawingMemory | None = None) -> None:
        self._flux = flux
        self._memory = memory
        self._truncate = truncate
        self._default_steps = _STEPS[variant]
        self._guided = bool(flux.model_config.supports_guidance)

    def run(self, calls: list[Call[ImageGenerationRequest]]) -> Iterator[tuple[Call[Any], Output]]:
        """Draw each call's images."""
        for call in calls:
            try:
                yield from answer_calls([call], self._plan)
            finally:
                self._flux.prompt_cache.clear()  # mflux would keep every prompt's embeddings for good

    def _plan(self, request: ImageGenerationRequest) -> Drawing:
        """Raises InvalidField, UnsupportedFeature or ContextTooLong."""
        arguments, warnings = self._arguments(request)
        steps = arguments["num_inference_steps"]

        def draw(seed: int, progress: ImageProgress) -> tuple[Any, list[str]]:
            self._flux.callbacks.in_loop[:] = [_StepCallback(progress, steps)]
            return self._flux.generate_image(seed=seed, **arguments).image, []

        return Drawing(draw, warnings)

    def _arguments(self, request: ImageGenerationRequest) -> tuple[dict[str, Any], list[str]]:
        """mflux's arguments, and warnings for the client."""
        if request.negative_prompt:
            raise no_negative_prompt()
        encoder = self._flux.tokenizers["t5"]  # it reads more of a prompt than CLIP does
        tokens = len(encoder.tokenizer(request.prompt)["input_ids"])
        warnings = prompt_warnings("prompt", tokens, encoder.max_length, truncate=self._truncate)
        arguments = {"prompt": request.prompt, "num_inference_steps": request.steps or self._default_steps}
        if size := requested_size(request, _MULTIPLE, _NATIVE, self._memory):
            arguments["width"], arguments["height"] = size
        if request.guidance is not None and self._guided:
            arguments["guidance"] = request.guidance
        elif request.guidance is not None:
            warnings.append(GUIDANCE_HAS_NO_EFFECT)
        return arguments, warnings


class _StepCallback:
    """mflux's callback after each step."""

    def __init__(self, progress: ImageProgress, steps: int) -> None:
        self._progress, self._steps = progress, steps

    def call_in_loop(self, *, t: int, **_: Any) -> None:
        self._progress.report(t + 1, self._steps)


def load(spec: ModelSpec, device: Device, options: MlxOptions) -> MlxDrawing:
    """Load what `spec.source` names. Raises LoadFailed if mflux is missing, or if the model is no FLUX.1."""
    try:
        from mflux.models.common.config.model_config import ModelConfig
        from mflux.models.flux.variants.txt2img.flux import Flux1
    except ImportError as error:
        raise LoadFailed(
            f"Image generation needs mflux, which is not installed ({error}): `make setup ENGINES=mlx`."
        ) from error
    folder = snapshots.folder(spec.source, spec.revision)
    variant = flux_variant(folder, spec)
    flux = Flux1(
        model_path=str(folder),
        model_config=getattr(ModelConfig, variant)(),
        quantize=BITS[options.quantization] if options.quantization else None,
    )
    mx.eval(flux.parameters())
    weights = sum(array.nbytes for _, array in tree_flatten(flux.parameters()))
    memory = DrawingMemory.beside(weights, device.memory)
    return MlxDrawing(flux, variant, truncate=options.truncate is not False, memory=memory)


def flux_variant(folder: Path, spec: ModelSpec) -> str:
    """`schnell` or `dev`: only the latter has weights for guidance. Raises LoadFailed for any other model."""
    files = sorted((folder / "transformer").glob("*.safetensors"))
    names = [str(name) for file in files for name in mx.load(str(file))]  # lazy: reads the files' headers only
    if not any(name.startswith("time_text_embed.text_embedder.") for name in names):
        raise LoadFailed(
            f"{spec.source} is no FLUX.1 in diffusers' or mflux's folder layout, the only kind of image model that "
            "this engine runs. On Apple's GPUs the engine diffusers_image runs all others."
        )
    return "dev" if any("guidance_embedder." in name for name in names) else "schnell"
