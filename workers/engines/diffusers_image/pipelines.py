"""The pipelines that one set of weights can run: text to image, image to image, inpainting."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from contract.errors import LoadFailed, UnsupportedFeature, UnsupportedTask
from workers.engines.diffusers_image.arguments import PipelineAdapter
from workers.toolkit.drawing.memory import CHANNELS, DrawingMemory

_COMBINING_IMAGES = frozenset({
    "Flux2KleinKVPipeline", "Flux2KleinPipeline", "Flux2Pipeline", "QwenImage21Pipeline", "QwenImageEditPlusPipeline",
    "ZImageOmniPipeline",
})  # fmt: skip
"""Classes that take a list of images as references for one edit; for all others a list is a batch of edits."""

_NOT_TEXT_TO_IMAGE = frozenset({"image", "mask_image", "num_frames", "video"})
"""Parameters of pipelines that need more than text, or make something other than an image."""


class Pipelines:
    """What a loaded pipeline can do. All of its pipelines share its modules, so that weights are in memory once.

    `text_to_image`, `image_to_image` and `inpainting` are adapters, or None if the family has no such pipeline. They
    are found in diffusers' own tables of related pipelines, and by its class names.
    """

    def __init__(
        self,
        loaded: Any,
        *,
        truncate: bool = True,
        true_cfg_scale: float | None = None,
        device_memory: int | None = None,
    ) -> None:
        """`device_memory`: bytes. Raises LoadFailed if it can do none of these."""
        memory = drawing_memory(loaded, device_memory)

        def adapter(pipeline_class: Any) -> PipelineAdapter | None:
            pipe = _related(loaded, pipeline_class) if pipeline_class else None
            if pipe is None:
                return None
            return PipelineAdapter(pipe, truncate=truncate, true_cfg_scale=true_cfg_scale, memory=memory)

        self.name = type(loaded).__name__
        family = _Family(loaded)
        self.text_to_image = adapter(family.text_to_image())
        self.image_to_image = adapter(family.image_to_image())
        self.inpainting = adapter(family.inpainting())
        if not (self.text_to_image or self.image_to_image or self.inpainting):
            raise LoadFailed(
                f"The model is a {self.name}, which does neither text-to-image, nor image-to-image, nor inpainting "
                "without further inputs. Correct the entry's `source`."
            )

    @property
    def combines_images(self) -> bool:
        """Whether it makes one image from several."""
        return self.image_to_image is not None and type(self.image_to_image.pipe).__name__ in _COMBINING_IMAGES

    @property
    def inpaints_transparency(self) -> bool:
        """Whether an image's transparent part acts as a mask: not for models that edit as a prompt says."""
        edits = self.image_to_image
        return self.inpainting is not None and (edits is None or "strength" in edits.parameters)

    @property
    def features(self) -> frozenset[str]:
        """What edits may ask for, by field name."""
        adapters = [adapter for adapter in (self.image_to_image, self.inpainting) if adapter]
        supported = {
            "images": self.combines_images,
            "mask": self.inpainting is not None,
            "strength": any("strength" in adapter.parameters for adapter in adapters),
        }
        return frozenset(name for name, is_supported in supported.items() if is_supported)

    def for_generation(self) -> PipelineAdapter:
        """The text-to-image pipeline. Raises UnsupportedTask."""
        if self.text_to_image is None:
            raise UnsupportedTask(f"This model ({self.name}) only edits: send an image to /v1/images/edits.")
        return self.text_to_image

    def for_editing(self, *, masked: bool) -> PipelineAdapter:
        """The image-to-image or inpainting pipeline. Raises UnsupportedTask or UnsupportedFeature."""
        adapter = self.inpainting if masked else self.image_to_image
        if adapter is not None:
            return adapter
        if self.image_to_image is None and self.inpainting is None:
            raise UnsupportedTask(f"This model ({self.name}) draws from text only: it cannot edit images.")
        if masked:
            message = f"This model ({self.name}) edits whole images: leave `mask` out."
        else:
            message = f"This model ({self.name}) only fills masks: send a `mask` of what is to be redrawn."
        raise UnsupportedFeature(message, param="mask")


def drawing_memory(pipe: Any, device_memory: int | None) -> DrawingMemory | None:
    """What the pipeline's drawings may take, and take for each pixel; None if the device's memory is unknown."""
    parts = [part for part in pipe.components.values() if hasattr(part, "parameters")]
    weights = sum(weight.nbytes for part in parts for weight in part.parameters())
    decoder = getattr(pipe, "vae", None) or getattr(pipe, "unet", None)
    config = getattr(decoder, "config", {})
    widths = config.get("block_out_channels") or (CHANNELS,)
    channels = widths[min(1, len(widths) - 1)]  # the last step upwards keeps the channels of the step before it
    sizes = [weight.element_size() for weight in decoder.parameters()] if decoder else []
    exact = config.get("force_upcast") or not sizes  # in float32 whatever the weights are
    return DrawingMemory.beside(weights, device_memory, channels, 4 if exact else max(sizes))


class _Family:
    """The pipeline classes related to a loaded pipeline's. Each method returns one, or None."""

    def __init__(self, loaded: Any) -> None:
        from diffusers.pipelines import auto_pipeline

        self._loaded = type(loaded)
        self._takes = _parameters(type(loaded))
        self._is_guided_by_images = "controlnet" in loaded.components or "control_image" in self._takes
        self._text_to_image: Mapping[str, Any] = auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING
        self._image_to_image: Mapping[str, Any] = auto_pipeline.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING
        self._inpainting: Mapping[str, Any] = auto_pipeline.AUTO_INPAINT_PIPELINES_MAPPING
        tables = (self._text_to_image, self._image_to_image, self._inpainting)
        names = (name for table in tables for name, related in table.items() if related is self._loaded)
        self._name = next(names, "") if _denoises_noise_only(loaded) else None

    def text_to_image(self) -> Any:
        if self._is_guided_by_images or self._name is None:
            return None
        if listed := self._text_to_image.get(self._name):
            return listed
        candidates = (self._variant(""), self._loaded)
        return next((candidate for candidate in candidates if _is_text_to_image(candidate)), None)

    def image_to_image(self) -> Any:
        if self._is_guided_by_images:
            return None
        itself = self._loaded if {"image", "prompt"} <= self._takes and "mask_image" not in self._takes else None
        if self._name is None:
            return itself
        return self._image_to_image.get(self._name) or itself or self._variant("Img2Img", takes="image")

    def inpainting(self) -> Any:
        if self._is_guided_by_images:
            return None
        if "mask_image" in self._takes:
            return self._loaded
        if self._name is None:
            return None
        return self._inpainting.get(self._name) or self._variant("Inpaint", takes="mask_image")

    def _variant(self, suffix: str, takes: str = "prompt") -> Any:
        """The class named as the loaded one with another suffix: ChromaPipeline, ChromaImg2ImgPipeline."""
        import diffusers

        name = self._loaded.__name__
        stem = name.removesuffix("Pipeline").removesuffix("Img2Img").removesuffix("Inpaint")
        variant = getattr(diffusers, f"{stem}{suffix}Pipeline", None)
        return variant if variant is not self._loaded and takes in _parameters(variant) else None


def _is_text_to_image(pipeline_class: Any) -> bool:
    takes = _parameters(pipeline_class)
    return {"prompt", "height"} <= takes and not takes & _NOT_TEXT_TO_IMAGE


def _parameters(pipeline_class: Any) -> frozenset[str]:
    """The parameters of a pipeline's call; empty if there is no such class."""
    return frozenset(inspect.signature(pipeline_class.__call__).parameters if pipeline_class else ())


def _denoises_noise_only(loaded: Any) -> bool:
    """Whether related pipelines can use the denoiser too; those for masks or instructions have more input channels."""
    unet, vae = getattr(loaded, "unet", None), getattr(loaded, "vae", None)
    return unet is None or vae is None or bool(unet.config.in_channels == vae.config.latent_channels)


def _related(loaded: Any, pipeline_class: Any) -> Any:
    """A pipeline of that class with the loaded one's modules, or None if it needs others.

    Unlike `pipeline_class.from_pipe` it leaves the modules' precision alone.
    """
    if pipeline_class is type(loaded):
        return loaded
    parts = {**loaded.config, **loaded.components}
    parameters = inspect.signature(pipeline_class.__init__).parameters.values()
    wanted = [p for p in parameters if p.name != "self" and p.kind is not inspect.Parameter.VAR_KEYWORD]
    if any(p.name not in parts and p.default is inspect.Parameter.empty for p in wanted):
        return None
    pipe = pipeline_class(**{p.name: parts[p.name] for p in wanted if p.name in parts})
    pipe.set_progress_bar_config(disable=True)
    return pipe
