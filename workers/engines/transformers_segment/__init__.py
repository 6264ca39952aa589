"""Masks with the Segment Anything models of transformers: SAM 3, SAM 2, SAM and SAM-HQ.

`sam` follows points and boxes, `everything` finds all there is with a grid of points, `sam3` follows words and
examples; `masks` has the forms in which masks travel. Nothing heavy is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import InvalidField, ServeError, UnsupportedFeature
from contract.tasks.segment import (
    SEGMENT,
    Segment,
    SegmentItem,
    SegmentPrompt,
    SegmentRequest,
    SegmentResponse,
    SemanticMask,
)
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit import pretrained
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.pretrained import TorchOptions

if TYPE_CHECKING:
    from workers.engines.transformers_segment.masks import Found

_HERE = "workers.engines.transformers_segment"
_SLACK = 1.0
"""By how many pixels coordinates may lie outside: detectors round."""

SegmentCall = Call[SegmentRequest]


class SegmentOptions(TorchOptions):
    """How `automatic` finds everything in a picture; a request's `threshold` goes before `min_score`.

    A grid of `points_per_side` times as many points is asked for masks, and again in `crop_layers` layers of ever
    smaller parts of the picture. Masks with a score below `min_score`, or that change more with their threshold than
    `min_stability` allows, are dropped, and those whose box overlaps a better one's by more than `max_overlap`.
    `points_per_pass` bounds memory, never the answer.
    """

    points_per_side: int = Field(32, ge=1, le=256)
    points_per_pass: int = Field(64, ge=1)
    crop_layers: int = Field(0, ge=0, le=4)
    min_score: float = Field(0.88, ge=0, le=1)
    min_stability: float = Field(0.95, ge=0, le=1)
    max_overlap: float = Field(0.7, ge=0, le=1)


class TransformersSegment(Engine):
    """SAM 3 (words, examples, points), SAM 2, SAM and SAM-HQ (points, boxes, everything there is).

    One picture at a time: its encoder fills a device, and all prompts for the picture share what it has seen.
    """

    Options: ClassVar[type[engine.Options]] = SegmentOptions
    # The hub's checkpoints of SAM 3 and SAM 2 are of the types for videos; what pictures need is in them.
    model_types: ClassVar[tuple[str, ...]] = (
        "sam3", "sam3_video", "sam3_tracker", "sam2", "sam2_video", "sam", "sam_hq",
    )  # fmt: skip
    features: ClassVar[frozenset[str]] = frozenset(
        {"prompt", "semantic", "box_labels", "points", "automatic", "multimask"}
    )
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        f"{_HERE}.sam3",
        "transformers:AutoImageProcessor",
        "transformers:AutoModelForMaskGeneration",
        "transformers:MaskGenerationPipeline",
        "transformers.models.sam3.modeling_sam3",
        "transformers.models.sam3.processing_sam3",
        "transformers.models.sam3_tracker.modeling_sam3_tracker",
        "transformers.models.sam2.modeling_sam2",
        "transformers.models.sam.modeling_sam",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        options = SegmentOptions.model_validate(spec.options)
        pretrained.set_up_torch(options)
        from workers.engines.transformers_segment.sam import Sam
        from workers.engines.transformers_segment.sam3 import Sam3

        checkpoint = pretrained.checkpoint(spec, type(self))
        self._pictures = ImageBatcher(spec.id, batch_size=1)
        self._family: Sam | Sam3
        if checkpoint.model_type in {"sam3", "sam3_video"}:
            self._family = Sam3(checkpoint, device, options)
        else:
            model = checkpoint.model("AutoModelForMaskGeneration", device, options)
            self._family = Sam(model, checkpoint.processor("AutoImageProcessor"), options)

    def loaded_features(self) -> frozenset[str]:
        return self._family.features

    @serves(SEGMENT)
    def segment(self, calls: list[SegmentCall]) -> Iterator[tuple[SegmentCall, Output]]:
        """Segment the pictures of each call one after another."""
        return self._pictures.answer(calls, self._work, SegmentResponse, self._check)

    def _check(self, picture: BatchImage[SegmentRequest]) -> None:
        """Refuse a request that asks for nothing, and prompts that do not fit the picture or the model."""
        request = picture.request
        if request.prompt is None and request.prompts is None and not request.automatic:
            raise InvalidField(f"Say what to segment: {self._family.asks}.", param="prompts")
        if missing := request.required_features() - self._family.features:
            raise UnsupportedFeature(f"This model takes {self._family.asks}.", param=min(missing))
        for prompt in request.prompts_for(picture.index):
            _check_inside(prompt, picture)
            self._family.check(prompt, request)

    def _work(self, pictures: list[BatchImage[SegmentRequest]]) -> list[SegmentItem | ServeError]:
        import torch

        with torch.inference_mode():
            return [self._item(picture) for picture in pictures]

    def _item(self, picture: BatchImage[SegmentRequest]) -> SegmentItem:
        request, prompts = picture.request, picture.request.prompts_for(picture.index)
        nothing = not (prompts or request.automatic)  # a detector has found nothing here
        found = [] if nothing else sorted(self._family.segment(picture, list(enumerate(prompts))), key=_order)
        segments = [_segment(one, prompts, request.format) for one in found if one.score is not None]
        fitting = [_fitting(one, prompts, request.format) for one in found if one.score is None]
        return SegmentItem(**picture.item_fields, segments=segments, semantic=fitting if request.semantic else None)


def _check_inside(prompt: SegmentPrompt, picture: BatchImage[SegmentRequest]) -> None:
    """Raise InvalidField for a point or box that lies outside the picture, if only in part."""
    right, bottom = picture.width + _SLACK, picture.height + _SLACK
    named = [("point", [point]) for point in prompt.points or []]
    named += [("box", [box[:2], box[2:]]) for box in prompt.boxes or []]
    for name, corners in named:
        if not all(-_SLACK <= x <= right and -_SLACK <= y <= bottom for x, y in corners):
            where = ", ".join(f"{number:g}" for corner in corners for number in corner)
            raise InvalidField(
                f"The {name} [{where}] lies outside of picture {picture.index}, which is {picture.width} wide and "
                f"{picture.height} high: give pixels of the upright picture.",
                param="prompts",
            )


def _order(one: Found) -> tuple[int, float]:
    """In the order of the prompts, the best first."""
    return one.prompt or 0, -(one.score or 0.0)


def _segment(one: Found, prompts: list[SegmentPrompt], form: str) -> Segment:
    from workers.engines.transformers_segment.masks import shown

    prompt = None if one.prompt is None else prompts[one.prompt]
    return Segment(
        prompt=one.prompt,
        label=prompt and (prompt.label or prompt.text),
        score=one.score,
        detection_score=prompt and prompt.score,
        box=one.runs.box,
        area=one.runs.area,
        mask=shown(one.runs, form),
    )


def _fitting(one: Found, prompts: list[SegmentPrompt], form: str) -> SemanticMask:
    from workers.engines.transformers_segment.masks import shown

    assert one.prompt is not None
    prompt = prompts[one.prompt]
    return SemanticMask(
        prompt=one.prompt,
        label=prompt.label or prompt.text,
        area=one.runs.area,
        mask=shown(one.runs, form),
    )
