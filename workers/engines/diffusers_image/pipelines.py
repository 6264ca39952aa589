"""The pipelines that one set of weights can draw with: from words, from a picture, inside a mask."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from contract.errors import LoadFailed, UnsupportedFeature, UnsupportedTask
from workers.engines.diffusers_image.arguments import PipelineAdapter

_COMBINING = frozenset({
    "Flux2KleinKVPipeline", "Flux2KleinPipeline", "Flux2Pipeline", "QwenImage21Pipeline", "QwenImageEditPlusPipeline",
    "ZImageOmniPipeline",
})  # fmt: skip
"""Classes for which a list of pictures is one edit's references; for all others it is a batch of edits."""

_NOT_FROM_WORDS = frozenset({"image", "mask_image", "num_frames", "video"})
"""Parameters of pipelines that need more than words, or make something else than a picture."""


class Pipelines:
    """What a loaded pipeline can do. All ways share its modules, so that the weights are in memory once.

    `draw` makes pictures from words, `edit` from a picture, `fill` inside a mask; each is None where the family has no
    such pipeline. diffusers' own tables of related pipelines decide, and beside them the names of its classes.
    """

    def __init__(self, loaded: Any, *, truncate: bool = True, true_cfg_scale: float | None = None) -> None:
        """Raises LoadFailed when it can do nothing of that."""

        def reading(kind: Any) -> PipelineAdapter | None:
            pipe = _related(loaded, kind) if kind else None
            return PipelineAdapter(pipe, truncate=truncate, true_cfg_scale=true_cfg_scale) if pipe else None

        self.name = type(loaded).__name__
        family = _Family(loaded)
        self.draw = reading(family.drawing())
        self.edit = reading(family.editing())
        self.fill = reading(family.filling())
        if not (self.draw or self.edit or self.fill):
            raise LoadFailed(
                f"The model is a {self.name}, which draws neither from words, nor from a picture, nor inside a mask "
                "alone. Correct the entry's `source`."
            )

    @property
    def combines(self) -> bool:
        """Whether it makes one picture of several given ones."""
        return self.edit is not None and type(self.edit.pipe).__name__ in _COMBINING

    @property
    def fills_holes(self) -> bool:
        """Whether a picture's transparent part is a mask: not for models that change what a prompt tells them to."""
        return self.fill is not None and (self.edit is None or "strength" in self.edit.parameters)

    @property
    def features(self) -> frozenset[str]:
        """What edits may ask for, by the names of their fields."""
        has = {
            "images": self.combines,
            "mask": self.fill is not None,
            "strength": any("strength" in way.parameters for way in (self.edit, self.fill) if way),
        }
        return frozenset(name for name, there in has.items() if there)

    def drawing(self) -> PipelineAdapter:
        """The way from words to pictures. Raises UnsupportedTask."""
        if self.draw is None:
            raise UnsupportedTask(f"This model ({self.name}) only edits: send a picture to /v1/images/edits.")
        return self.draw

    def editing(self, *, masked: bool) -> PipelineAdapter:
        """The way from a picture to others. Raises UnsupportedTask or UnsupportedFeature."""
        way = self.fill if masked else self.edit
        if way is not None:
            return way
        if self.edit is None and self.fill is None:
            raise UnsupportedTask(f"This model ({self.name}) draws from words alone: it edits no pictures.")
        if masked:
            message = f"This model ({self.name}) edits whole pictures: leave `mask` out."
        else:
            message = f"This model ({self.name}) only fills masks: send a `mask` of what is to be drawn anew."
        raise UnsupportedFeature(message, param="mask")


class _Family:
    """The classes that are related to a loaded pipeline's. Each method gives one, or None."""

    def __init__(self, loaded: Any) -> None:
        from diffusers.pipelines import auto_pipeline as tables

        self._loaded = type(loaded)
        self._takes = _parameters(type(loaded))
        self._is_guided_by_pictures = "controlnet" in loaded.components or "control_image" in self._takes
        self._from_words: Mapping[str, Any] = tables.AUTO_TEXT2IMAGE_PIPELINES_MAPPING
        self._from_pictures: Mapping[str, Any] = tables.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING
        self._in_masks: Mapping[str, Any] = tables.AUTO_INPAINT_PIPELINES_MAPPING
        every = (self._from_words, self._from_pictures, self._in_masks)
        names = (name for table in every for name, kind in table.items() if kind is self._loaded)
        self._name = next(names, "") if _denoises_noise_alone(loaded) else None

    def drawing(self) -> Any:
        if self._is_guided_by_pictures or self._name is None:
            return None
        kind = self._from_words.get(self._name)
        return kind or next((kind for kind in (self._called(""), self._loaded) if _draws_from_words(kind)), None)

    def editing(self) -> Any:
        if self._is_guided_by_pictures:
            return None
        itself = self._loaded if {"image", "prompt"} <= self._takes and "mask_image" not in self._takes else None
        if self._name is None:
            return itself
        return self._from_pictures.get(self._name) or itself or self._called("Img2Img", takes="image")

    def filling(self) -> Any:
        if self._is_guided_by_pictures:
            return None
        if "mask_image" in self._takes:
            return self._loaded
        if self._name is None:
            return None
        return self._in_masks.get(self._name) or self._called("Inpaint", takes="mask_image")

    def _called(self, suffix: str, takes: str = "prompt") -> Any:
        """The class that is called like the loaded one but for its way: ChromaPipeline, ChromaImg2ImgPipeline."""
        import diffusers

        name = self._loaded.__name__
        stem = name.removesuffix("Pipeline").removesuffix("Img2Img").removesuffix("Inpaint")
        kind = getattr(diffusers, f"{stem}{suffix}Pipeline", None)
        return kind if kind is not self._loaded and takes in _parameters(kind) else None


def _draws_from_words(kind: Any) -> bool:
    takes = _parameters(kind)
    return {"prompt", "height"} <= takes and not takes & _NOT_FROM_WORDS


def _parameters(kind: Any) -> frozenset[str]:
    """What a pipeline class is called with; nothing, if there is no such class."""
    return frozenset(inspect.signature(kind.__call__).parameters if kind else ())


def _denoises_noise_alone(loaded: Any) -> bool:
    """Whether the relatives can use the denoiser too; those made for masks or instructions see more than noise."""
    unet, vae = getattr(loaded, "unet", None), getattr(loaded, "vae", None)
    return unet is None or vae is None or bool(unet.config.in_channels == vae.config.latent_channels)


def _related(loaded: Any, kind: Any) -> Any:
    """A pipeline of that class with the loaded one's modules, or None if some are missing.

    Unlike `kind.from_pipe` it leaves the modules' precision alone.
    """
    if kind is type(loaded):
        return loaded
    parts = {**loaded.config, **loaded.components}
    parameters = inspect.signature(kind.__init__).parameters.values()
    wanted = [p for p in parameters if p.name != "self" and p.kind is not inspect.Parameter.VAR_KEYWORD]
    if any(p.name not in parts and p.default is inspect.Parameter.empty for p in wanted):
        return None
    pipe = kind(**{p.name: parts[p.name] for p in wanted if p.name in parts})
    pipe.set_progress_bar_config(disable=True)
    return pipe
