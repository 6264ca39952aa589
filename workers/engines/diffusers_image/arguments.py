"""What a request means to one pipeline: the arguments to call it with, what to refuse, and what to warn of."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from contract.errors import ContextTooLong, InvalidField, UnsupportedFeature
from contract.tasks.image_generation import DiffusionRequest

Size = tuple[int, int]
"""Width and height in pixels."""


class PipelineAdapter:
    """Reads requests for one pipeline, by the pipeline's own signature; what it leaves out is up to that."""

    def __init__(self, pipe: Any, *, truncate: bool = True, true_cfg_scale: float | None = None) -> None:
        self.pipe = pipe
        self.parameters: Mapping[str, inspect.Parameter] = inspect.signature(pipe.__call__).parameters
        self.multiple = _multiple(pipe)
        self._truncate = truncate
        self._true_cfg_scale = true_cfg_scale
        self._encoders = list(_encoders(pipe, self._default("max_sequence_length")))
        self._is_distilled = _is_distilled(pipe)

    def read(self, request: DiffusionRequest) -> tuple[dict[str, Any], list[str]]:
        """The pipeline's arguments, but for sizes, pictures and the generator, and warnings for the client.

        Raises InvalidField, UnsupportedFeature or ContextTooLong.
        """
        warnings = self._prompt_warnings("prompt", request.prompt)
        arguments: dict[str, Any] = {"prompt": request.prompt}
        if request.steps is not None:
            arguments["num_inference_steps"] = request.steps
        if request.guidance is not None:
            if "guidance_scale" not in self.parameters or self._is_distilled:
                warnings.append("`guidance` has no effect on this model.")
            else:
                arguments["guidance_scale"] = request.guidance
        if request.negative_prompt:
            warnings += self._prompt_warnings("negative_prompt", request.negative_prompt)
            arguments |= self._negative_prompt(request.negative_prompt, request.guidance)
        return arguments, warnings

    def asked_size(self, request: DiffusionRequest) -> Size | None:
        """The size that the client asks for, if it asks for one. Raises InvalidField when the model has none such."""
        if request.pixels is None:
            return None
        (width, height), step = request.pixels, self.multiple
        if width % step or height % step:
            lower, upper = (f"{fit(width, step)}x{fit(height, step)}" for fit in (_at_most, _at_least))
            raise InvalidField(
                f"`size` {width}x{height}: this model draws widths and heights that are multiples of {step}; "
                f"the nearest are {lower} and {upper}.",
                param="size",
            )
        return width, height

    def size_arguments(self, size: Size) -> dict[str, int]:
        """A size as the pipeline takes it: some draw in that of the picture that they are given."""
        width, height = size
        told = {"width": width, "height": height, "max_area": width * height}  # else FLUX Kontext scales to its own
        return {name: value for name, value in told.items() if name in self.parameters}

    @property
    def most_pixels(self) -> int:
        """As many as it draws unasked: half as many again as in its own square, which pictures of 2:3 beside it have.

        Where the model does not say how large its own square is, it is a million pixels, as in most today.
        """
        side = getattr(self.pipe, "default_sample_size", None)
        for part in ("unet", "transformer"):
            config = getattr(getattr(self.pipe, part, None), "config", {})
            side = side or config.get("sample_size")
        own = side * getattr(self.pipe, "vae_scale_factor", 8) if isinstance(side, int) else 1024
        return int(own**2 * 1.5)

    def strength(self, request: DiffusionRequest, strength: float | None) -> dict[str, float]:
        """`strength` as an argument. Raises UnsupportedFeature, or InvalidField where no step would be left."""
        if "strength" not in self.parameters:
            if strength is None:
                return {}
            raise UnsupportedFeature(
                "This model edits as the prompt tells it and takes no `strength`: leave it out.", param="strength"
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
        """How many of the steps are taken: pipelines round differently, so theirs is asked."""
        counting = getattr(type(self.pipe), "get_timesteps", None)
        if counting is None:
            return int(steps * strength)
        schedule = SimpleNamespace(timesteps=range(steps), order=1)
        return int(counting(SimpleNamespace(scheduler=schedule), steps, strength, None)[1])

    def _default(self, parameter: str) -> Any:
        return self.parameters[parameter].default if parameter in self.parameters else None

    def _negative_prompt(self, text: str, guidance: float | None) -> dict[str, Any]:
        """Refuses where the pipeline would take the negative prompt and not listen to it."""
        if "negative_prompt" not in self.parameters:
            raise UnsupportedFeature("This model takes no `negative_prompt`: leave it out.", param="negative_prompt")
        if "true_cfg_scale" in self.parameters:
            scale = self._true_cfg_scale or self._default("true_cfg_scale")
            if scale <= 1:
                raise UnsupportedFeature(
                    "This model draws without true guidance, so `negative_prompt` would do nothing: leave it out, or "
                    "set `true_cfg_scale` above 1 in the model's options (each picture then takes twice the time).",
                    param="negative_prompt",
                )
            return {"negative_prompt": text, "true_cfg_scale": scale}
        strength = guidance if guidance is not None else self._default("guidance_scale")
        if strength is not None and strength <= 1:
            raise InvalidField(
                f"`negative_prompt` does nothing at guidance {strength:g}: leave it out or raise `guidance` above 1.",
                param="negative_prompt",
            )
        return {"negative_prompt": text}

    def _prompt_warnings(self, field: str, text: str) -> list[str]:
        """What to say of a text of which even the encoder that reads most leaves out an end."""
        counts = [(len(tokenizer(text)["input_ids"]), limit) for tokenizer, limit in self._encoders]
        excess, limit = min(((tokens - limit, limit) for tokens, limit in counts), default=(0, 0))
        if excess <= 0:
            return []
        told = f"`{field}` has {limit + excess} tokens, {excess} more than the {limit} that this model reads"
        if not self._truncate:
            raise ContextTooLong(
                f"{told}: shorten it.", param=field, details={"tokens": limit + excess, "limit": limit}
            )
        return [f"{told}: the end was left out."]


def _multiple(pipe: Any) -> int:
    """What widths and heights must be multiples of: pixels per latent, times latents per patch."""
    processor = getattr(pipe, "image_processor", None)
    scale = getattr(pipe, "vae_scale_factor", 8) * (getattr(pipe, "patch_size", None) or 1)
    return max(scale, processor.config.vae_scale_factor if processor else 1)


def _is_distilled(pipe: Any) -> bool:
    """Whether guidance was trained into the weights, so that it cannot be chosen any more."""
    told = pipe.config.get("is_distilled")
    transformer = getattr(pipe, "transformer", None)
    if told is None and transformer is not None:
        return transformer.config.get("guidance_embeds") is False
    return bool(told)


def _encoders(pipe: Any, longest: int | None) -> Any:
    """The tokenizers of CLIP and T5 encoders, each with the number of tokens that the pipeline keeps of a prompt.

    Other text encoders put prompts into templates of their own, so that their limit cannot be told from outside.
    """
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        tokenizer: Any = getattr(pipe, name, None)
        kind = type(tokenizer).__name__
        if kind.startswith("CLIP"):
            yield tokenizer, tokenizer.model_max_length
        elif kind.startswith("T5") and longest is not None:
            yield tokenizer, longest


def _at_most(side: int, step: int) -> int:
    return max(step, side // step * step)


def _at_least(side: int, step: int) -> int:
    return -(-side // step) * step
