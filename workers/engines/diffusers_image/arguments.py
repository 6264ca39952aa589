"""Reads a request for one pipeline: the arguments to call it with, what to refuse, and what to warn about."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from contract.errors import InvalidField, UnsupportedFeature
from contract.tasks.image_generation import DiffusionRequest
from workers.toolkit.drawing.limits import (
    GUIDANCE_HAS_NO_EFFECT,
    Size,
    no_negative_prompt,
    prompt_warnings,
    requested_size,
)
from workers.toolkit.drawing.memory import DrawingMemory


class PipelineAdapter:
    """Reads requests for one pipeline, guided by its signature. What it leaves out keeps the pipeline's default."""

    def __init__(
        self,
        pipe: Any,
        *,
        truncate: bool = True,
        true_cfg_scale: float | None = None,
        memory: DrawingMemory | None = None,
    ) -> None:
        self.pipe = pipe
        self.memory = memory
        self.parameters: Mapping[str, inspect.Parameter] = inspect.signature(pipe.__call__).parameters
        self.multiple = _multiple(pipe)
        self._truncate = truncate
        self._true_cfg_scale = true_cfg_scale
        self._encoders = list(_encoders(pipe, self._default("max_sequence_length")))
        self._is_distilled = _is_distilled(pipe)

    def read(self, request: DiffusionRequest) -> tuple[dict[str, Any], list[str]]:
        """The pipeline's arguments except sizes, images and the generator, and warnings for the client.

        Raises InvalidField, UnsupportedFeature or ContextTooLong.
        """
        warnings = self._prompt_warnings("prompt", request.prompt)
        arguments: dict[str, Any] = {"prompt": request.prompt}
        if request.steps is not None:
            arguments["num_inference_steps"] = request.steps
        if request.guidance is not None:
            if "guidance_scale" not in self.parameters or self._is_distilled:
                warnings.append(GUIDANCE_HAS_NO_EFFECT)
            else:
                arguments["guidance_scale"] = request.guidance
        if request.negative_prompt:
            warnings += self._prompt_warnings("negative_prompt", request.negative_prompt)
            arguments |= self._negative_prompt(request.negative_prompt, request.guidance)
        return arguments, warnings

    def requested_size(self, request: DiffusionRequest) -> Size | None:
        """The size that the client asks for, or None. Raises InvalidField if the model cannot draw it."""
        return requested_size(request, self.multiple, self.native, self.memory)

    def size_arguments(self, size: Size) -> dict[str, int]:
        """A size as the pipeline's arguments; some take none, and draw at the size of the image that they get."""
        width, height = size
        candidates = {"width": width, "height": height, "max_area": width * height}  # else FLUX Kontext rescales
        return {name: value for name, value in candidates.items() if name in self.parameters}

    @property
    def max_pixels(self) -> int:
        """At most 1.5 times the model's native square, enough for 2:3, and what the memory suffices for."""
        return min(self._own_pixels, self.memory.max_pixels(self.native)) if self.memory else self._own_pixels

    @property
    def is_short_of_memory(self) -> bool:
        """Whether memory bounds a drawing more than the model does."""
        return self.max_pixels < self._own_pixels

    @property
    def _own_pixels(self) -> int:
        return int(self.native**2 * 1.5)

    @property
    def native(self) -> int:
        """The side of the square that the model was trained to draw: 1024, as for most today, if it does not say."""
        side = getattr(self.pipe, "default_sample_size", None)
        for part in ("unet", "transformer"):
            config = getattr(getattr(self.pipe, part, None), "config", {})
            side = side or config.get("sample_size")
        return side * getattr(self.pipe, "vae_scale_factor", 8) if isinstance(side, int) else 1024

    def strength(self, request: DiffusionRequest, strength: float | None) -> dict[str, float]:
        """`strength` as an argument. Raises UnsupportedFeature, or InvalidField if it leaves no step to draw."""
        if "strength" not in self.parameters:
            if strength is None:
                return {}
            raise UnsupportedFeature(
                "This model edits as the prompt says and takes no `strength`: leave it out.", param="strength"
            )
        value = self._default("strength") if strength is None else strength
        steps = request.steps or self._default("num_inference_steps")
        if steps and value and not self._steps_left(steps, value):
            least = math.ceil(100 / steps) / 100
            raise InvalidField(
                f"`strength` {value:g} of {steps} steps is less than one: raise `strength` to {least:g} or `steps` to "
                f"{math.ceil(1 / value)}.",
                param="strength",
            )
        return {} if strength is None else {"strength": strength}

    def _steps_left(self, steps: int, strength: float) -> int:
        """How many steps `strength` leaves. Pipelines round differently, so the pipeline's own method counts."""
        get_timesteps = getattr(type(self.pipe), "get_timesteps", None)
        if get_timesteps is None:
            return int(steps * strength)
        schedule = SimpleNamespace(timesteps=range(steps), order=1)
        return int(get_timesteps(SimpleNamespace(scheduler=schedule), steps, strength, None)[1])

    def _default(self, parameter: str) -> Any:
        return self.parameters[parameter].default if parameter in self.parameters else None

    def _negative_prompt(self, text: str, guidance: float | None) -> dict[str, Any]:
        """The arguments for a negative prompt. Raises ServeError where the pipeline would accept it and ignore it."""
        if "negative_prompt" not in self.parameters:
            raise no_negative_prompt()
        if "true_cfg_scale" in self.parameters:
            scale = self._true_cfg_scale or self._default("true_cfg_scale")
            if scale <= 1:
                raise UnsupportedFeature(
                    "This model draws without true guidance, so `negative_prompt` has no effect: leave it out, or set "
                    "`true_cfg_scale` above 1 in the model's options (each image then takes twice the time).",
                    param="negative_prompt",
                )
            return {"negative_prompt": text, "true_cfg_scale": scale}
        strength = guidance if guidance is not None else self._default("guidance_scale")
        if strength is not None and strength <= 1:
            raise InvalidField(
                f"`negative_prompt` has no effect at guidance {strength:g}: leave it out or raise `guidance` above 1.",
                param="negative_prompt",
            )
        return {"negative_prompt": text}

    def _prompt_warnings(self, field: str, text: str) -> list[str]:
        """A warning if even the encoder with the highest limit cuts the text. Raises ContextTooLong if it may not."""
        counts = [(len(tokenizer(text)["input_ids"]), limit) for tokenizer, limit in self._encoders]
        if not counts:
            return []
        tokens, limit = min(counts, key=lambda count: (count[0] - count[1], count[1]))
        return prompt_warnings(field, tokens, limit, truncate=self._truncate)


def _multiple(pipe: Any) -> int:
    """The number that widths and heights must be multiples of: pixels per latent times latents per patch."""
    processor = getattr(pipe, "image_processor", None)
    scale = getattr(pipe, "vae_scale_factor", 8) * (getattr(pipe, "patch_size", None) or 1)
    return max(scale, processor.config.vae_scale_factor if processor else 1)


def _is_distilled(pipe: Any) -> bool:
    """Whether guidance was distilled into the weights, so that it cannot be set any more."""
    distilled = pipe.config.get("is_distilled")
    transformer = getattr(pipe, "transformer", None)
    if distilled is None and transformer is not None:
        return transformer.config.get("guidance_embeds") is False
    return bool(distilled)


def _encoders(pipe: Any, max_sequence_length: int | None) -> Any:
    """The tokenizers of CLIP and T5 encoders, each with the number of prompt tokens that the pipeline keeps.

    Other text encoders put the prompt into templates of their own, so their limit cannot be determined from outside.
    """
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        tokenizer: Any = getattr(pipe, name, None)
        class_name = type(tokenizer).__name__
        if class_name.startswith("CLIP"):
            yield tokenizer, tokenizer.model_max_length
        elif class_name.startswith("T5") and max_sequence_length is not None:
            yield tokenizer, max_sequence_length
