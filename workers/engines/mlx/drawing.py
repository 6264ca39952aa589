"""Pictures from text with mflux: FLUX.1 schnell and dev, from the hub's folders or those that mflux has saved."""

from __future__ import annotations

import base64
import io
import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from contract.config import ModelSpec
from contract.errors import ContextTooLong, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.image_generation import (
    MAX_SEED,
    Image,
    ImageGenerationRequest,
    ImageGenerationResponse,
    ImageUsage,
)
from workers import snapshots
from workers.engine import Answer, Call
from workers.engines.mlx.loading import BITS

if TYPE_CHECKING:
    from pathlib import Path

    from workers.engines.mlx import MlxOptions

_STEP = 16
"""What widths and heights must be multiples of: eight pixels a latent, two latents a patch."""
_STEPS = {"schnell": 4, "dev": 25}
"""mflux's own choice for its command line."""
_PNG_LEVEL = 1
"""zlib's: files become a little larger than at its usual 6 and are written several times faster."""

Pieces = Iterator[tuple[Call[ImageGenerationRequest], Answer]]


class _ClientLeft(Exception):
    """Ends a drawing between two steps."""


class Painter:
    """A loaded FLUX.1. Each picture is drawn alone, from its own seed."""

    def __init__(self, flux: Any, name: str, *, truncate: bool = True) -> None:
        self._flux = flux
        self._truncate = truncate
        self._steps = _STEPS[name]
        self._guided = bool(flux.model_config.supports_guidance)

    def run(self, calls: list[Call[ImageGenerationRequest]]) -> Pieces:
        """Draw each call's pictures, one after another, with the seeds `seed`, `seed + 1`, and so on."""
        for call in calls:
            try:
                yield call, self._answer(call)
            except _ClientLeft:
                continue
            except ServeError as error:
                yield call, error
            finally:
                self._flux.prompt_cache.clear()  # mflux keeps every prompt's embeddings for ever

    def _answer(self, call: Call[ImageGenerationRequest]) -> ImageGenerationResponse:
        started = time.perf_counter()
        request = call.request
        arguments, warnings = self._read(request)
        first = secrets.randbelow(2**32) if request.seed is None else request.seed
        images = []
        for number in range(request.n):
            seed = (first + number) % (MAX_SEED + 1)
            watch = _Watch(call, number, arguments["num_inference_steps"])
            self._flux.callbacks.in_loop[:] = [watch]
            watch.check()
            images.append(Image(b64_json=_png(self._flux.generate_image(seed=seed, **arguments).image), seed=seed))
        return ImageGenerationResponse(
            created=int(time.time()),
            data=images,
            usage=ImageUsage(latency=round(time.perf_counter() - started, 3), seed=first),
            **({"warnings": warnings} if warnings else {}),
        )

    def _read(self, request: ImageGenerationRequest) -> tuple[dict[str, Any], list[str]]:
        """mflux's arguments, and warnings for the client. Raises InvalidField, UnsupportedFeature or ContextTooLong."""
        if request.negative_prompt:
            raise UnsupportedFeature("This model takes no `negative_prompt`: leave it out.", param="negative_prompt")
        warnings = self._prompt_warnings(request.prompt)
        arguments = {"prompt": request.prompt, "num_inference_steps": request.steps or self._steps}
        if request.pixels:
            arguments["width"], arguments["height"] = _checked(*request.pixels)
        if request.guidance is not None and self._guided:
            arguments["guidance"] = request.guidance
        elif request.guidance is not None:
            warnings.append("`guidance` has no effect on this model.")
        return arguments, warnings

    def _prompt_warnings(self, prompt: str) -> list[str]:
        """What to say of a prompt whose end even T5 leaves out, which reads more than CLIP."""
        encoder = self._flux.tokenizers["t5"]
        tokens, limit = len(encoder.tokenizer(prompt)["input_ids"]), encoder.max_length
        if tokens <= limit:
            return []
        told = f"`prompt` has {tokens} tokens, {tokens - limit} more than the {limit} that this model reads"
        if not self._truncate:
            raise ContextTooLong(f"{told}: shorten it.", param="prompt", details={"tokens": tokens, "limit": limit})
        return [f"{told}: the end was left out."]


class _Watch:
    """mflux's callback after each step: tells how far the picture is, and ends it when its client has left."""

    def __init__(self, call: Call[Any], number: int, steps: int) -> None:
        self._call, self._number, self._steps = call, number, steps

    def call_in_loop(self, *, t: int, **_: Any) -> None:
        self._call.progress(self._number * self._steps + t + 1, self._call.request.n * self._steps)
        self.check()

    def check(self) -> None:
        """Raises _ClientLeft."""
        if self._call.cancelled:
            raise _ClientLeft


def load(spec: ModelSpec, options: MlxOptions) -> Painter:
    """Load what `spec.source` names. Raises LoadFailed without mflux, and for what is no FLUX.1."""
    try:
        from mflux.models.common.config.model_config import ModelConfig
        from mflux.models.flux.variants.txt2img.flux import Flux1
    except ImportError as error:
        raise LoadFailed(
            f"Pictures are drawn by mflux, which is not installed here ({error}): `make setup ENGINES=mlx`."
        ) from error
    folder = snapshots.folder(spec.source, spec.revision)
    name = variant(folder, spec)
    flux = Flux1(
        model_path=str(folder),
        model_config=getattr(ModelConfig, name)(),
        quantize=BITS[options.quantization] if options.quantization else None,
    )
    mx.eval(flux.parameters())
    return Painter(flux, name, truncate=options.truncate is not False)


def variant(folder: Path, spec: ModelSpec) -> str:
    """`schnell` or `dev`: only the latter has weights that read the guidance. Raises LoadFailed for anything else."""
    files = sorted((folder / "transformer").glob("*.safetensors"))
    names = [str(name) for file in files for name in mx.load(str(file))]  # reads no more than their heads
    if not any(name.startswith("time_text_embed.text_embedder.") for name in names):
        raise LoadFailed(
            f"{spec.source} is no FLUX.1 in diffusers' or mflux's folder layout, the only pictures' model that this "
            "engine draws with. On Apple's GPUs the engine diffusers_image draws with all others."
        )
    return "dev" if any("guidance_embedder." in name for name in names) else "schnell"


def _checked(width: int, height: int) -> tuple[int, int]:
    if width % _STEP or height % _STEP:
        sizes = (f"{_nearest(width, up)}x{_nearest(height, up)}" for up in (False, True))
        raise InvalidField(
            f"`size` {width}x{height}: this model draws widths and heights that are multiples of {_STEP}; the nearest "
            f"are {' and '.join(sizes)}.",
            param="size",
        )
    return width, height


def _nearest(side: int, up: bool) -> int:
    return (side + up * (_STEP - 1)) // _STEP * _STEP


def _png(picture: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return base64.b64encode(buffer.getbuffer()).decode("ascii")
