"""What a request means to one pipeline: the arguments to call it with, what to refuse, and what to warn of."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from contract.errors import ContextTooLong, InvalidField, UnsupportedFeature
from contract.tasks.image_generation import ImageGenerationRequest


class Reading:
    """Reads requests for one loaded pipeline, by the pipeline's own signature; what it leaves out is up to that."""

    def __init__(self, pipe: Any, *, truncate: bool = True, true_cfg_scale: float | None = None) -> None:
        self.parameters: Mapping[str, inspect.Parameter] = inspect.signature(pipe.__call__).parameters
        self._truncate = truncate
        self._true_cfg_scale = true_cfg_scale
        self._multiple = _multiple(pipe)
        self._encoders = list(_encoders(pipe, self._default("max_sequence_length")))
        transformer = getattr(pipe, "transformer", None)
        self._is_distilled = transformer is not None and transformer.config.get("guidance_embeds") is False

    def read(self, request: ImageGenerationRequest) -> tuple[dict[str, Any], list[str]]:
        """The pipeline's arguments, but for the generator, and warnings for the client.

        Raises InvalidField, UnsupportedFeature or ContextTooLong.
        """
        warnings = self._prompt_warnings("prompt", request.prompt)
        arguments: dict[str, Any] = {"prompt": request.prompt, **self._size(request)}
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

    def _default(self, parameter: str) -> Any:
        return self.parameters[parameter].default if parameter in self.parameters else None

    def _size(self, request: ImageGenerationRequest) -> dict[str, int]:
        if request.pixels is None:
            return {}
        width, height = request.pixels
        step = self._multiple
        if width % step or height % step:
            lower, upper = (f"{fit(width, step)}x{fit(height, step)}" for fit in (_at_most, _at_least))
            raise InvalidField(
                f"`size` {width}x{height}: this model draws widths and heights that are multiples of {step}; "
                f"the nearest are {lower} and {upper}.",
                param="size",
            )
        return {"width": width, "height": height}

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
