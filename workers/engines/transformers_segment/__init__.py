"""Segmentation with the Segment Anything models of transformers: SAM 3, SAM 2, SAM and SAM-HQ.

`sam` segments what points and boxes mark, `automatic` everything in an image, `sam3` what a text or examples describe;
`masks` encodes masks. Nothing heavy is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

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
from workers.engines.transformers_segment.options import SegmentOptions
from workers.toolkit.finite import not_finite
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.model_families import ModelFamilies, open_checkpoint

if TYPE_CHECKING:
    from workers.engines.transformers_segment.masks import PredictedMask
    from workers.engines.transformers_segment.sam import Sam
    from workers.engines.transformers_segment.sam3 import Sam3

_FAMILIES = ModelFamilies(
    __name__,
    {
        # The hub's checkpoints of SAM 3 and SAM 2 are of the video types, and contain what images need.
        "sam3:Sam3": ("sam3", "sam3_video"),
        "sam:Sam.from_checkpoint": ("sam3_tracker", "sam2", "sam2_video", "sam", "sam_hq"),
    },
)
_MAX_MARKS = 4096
"""The most points and boxes for one image. Every box without points is an object with a mask of its own."""
_TOLERANCE = 1.0
"""How many pixels outside of the image coordinates may be: detectors round."""


class TransformersSegment(Engine):
    """SAM 3 (text, examples, points), SAM 2, SAM and SAM-HQ (points, boxes, everything in an image).

    One image at a time: its encoder fills a device, and all prompts for an image share its embedding.
    """

    extras: ClassVar[tuple[str, ...]] = ("vision",)
    Options: ClassVar[type[engine.Options]] = SegmentOptions
    model_types: ClassVar[tuple[str, ...]] = _FAMILIES.model_types
    features: ClassVar[frozenset[str]] = frozenset(
        {"prompt", "semantic", "box_labels", "points", "automatic", "multimask"}
    )
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        *_FAMILIES.modules,
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
        """Load model and processor. Raises LoadFailed for a checkpoint of another type."""
        options, checkpoint = open_checkpoint(spec, type(self), SegmentOptions)
        self._model: Sam | Sam3 = _FAMILIES.find(checkpoint.model_type)(checkpoint, device, options)
        self._batcher = ImageBatcher(spec.id, batch_size=1)

    def loaded_features(self) -> frozenset[str]:
        return self._model.features

    @serves(SEGMENT)
    def segment(self, calls: list[Call[SegmentRequest]]) -> Iterator[tuple[Call[SegmentRequest], Output]]:
        """Segment one image after another."""
        return self._batcher.answer(calls, self._segment_batch, SegmentResponse, self._check)

    def _check(self, image: BatchImage[SegmentRequest]) -> None:
        """Raise a ServeError for a request without prompts, or prompts that do not fit the image or the model."""
        request = image.request
        if request.prompt is None and request.prompts is None and not request.automatic:
            raise InvalidField(f"Say what to segment: {self._model.accepted_prompts}.", param="prompts")
        if missing := request.required_features() - self._model.features:
            raise UnsupportedFeature(f"This model takes {self._model.accepted_prompts}.", param=min(missing))
        prompts = request.prompts_for(image.index)
        if (marks := sum(len(prompt.points or prompt.boxes or ()) for prompt in prompts)) > _MAX_MARKS:
            raise InvalidField(
                f"The prompts for image {image.index} have {marks} points and boxes; at most {_MAX_MARKS} are "
                "accepted. Spread them over several requests.",
                param="prompts",
            )
        for prompt in prompts:
            _check_coordinates(prompt, image)
            self._model.check(prompt, request)

    def _segment_batch(self, batch: list[BatchImage[SegmentRequest]]) -> list[SegmentItem | ServeError]:
        import torch

        from workers.engines.transformers_segment.masks import NotFinite

        [image] = batch
        try:
            with torch.inference_mode():
                return [self._item(image)]
        except NotFinite:
            return [not_finite(self._batcher.model, "image", image.index)]

    def _item(self, image: BatchImage[SegmentRequest]) -> SegmentItem:
        request, prompts = image.request, image.request.prompts_for(image.index)
        masks: list[PredictedMask] = []
        if prompts or request.automatic:  # else a detector has found nothing in this image
            masks = sorted(self._model.segment(image, list(enumerate(prompts))), key=_by_prompt_and_score)
        scored = [mask for mask in masks if mask.score is not None]
        if request.resolve_overlaps:
            scored = _without_overlaps(scored, request)
        segments = [_segment(mask, prompts, request) for mask in scored]
        semantic = [_semantic_mask(mask, prompts, request) for mask in masks if mask.score is None]
        return SegmentItem(**image.item_fields, segments=segments, semantic=semantic if request.semantic else None)


def _check_coordinates(prompt: SegmentPrompt, image: BatchImage[SegmentRequest]) -> None:
    """Raise InvalidField for a point or box that is outside of the image, even partly."""
    right, bottom = image.width + _TOLERANCE, image.height + _TOLERANCE
    shapes = [("point", [point]) for point in prompt.points or []]
    shapes += [("box", [box[:2], box[2:]]) for box in prompt.boxes or []]
    for name, corners in shapes:
        if not all(-_TOLERANCE <= x <= right and -_TOLERANCE <= y <= bottom for x, y in corners):
            coordinates = ", ".join(f"{number:g}" for corner in corners for number in corner)
            raise InvalidField(
                f"The {name} [{coordinates}] is outside of image {image.index}, which is {image.width} pixels wide and "
                f"{image.height} high. Give coordinates in pixels of the upright image.",
                param="prompts",
            )


def _by_prompt_and_score(mask: PredictedMask) -> tuple[int, float]:
    """Sort key: in the order of the prompts, the best mask of each first."""
    return mask.prompt or 0, -(mask.score or 0.0)


def _without_overlaps(masks: list[PredictedMask], request: SegmentRequest) -> list[PredictedMask]:
    from workers.engines.transformers_segment.masks import without_overlaps

    weights = request.resolve_overlaps
    return without_overlaps(masks, weights if isinstance(weights, list) else [])


def _segment(mask: PredictedMask, prompts: list[SegmentPrompt], request: SegmentRequest) -> Segment:
    from workers.engines.transformers_segment.masks import encode_mask

    prompt = None if mask.prompt is None else prompts[mask.prompt]
    return Segment(
        prompt=mask.prompt,
        label=prompt and (prompt.label or prompt.text),
        score=mask.score,
        detection_score=prompt and prompt.score,
        box=mask.run_lengths.box,
        area=mask.run_lengths.area,
        mask=encode_mask(mask.run_lengths, request),
    )


def _semantic_mask(mask: PredictedMask, prompts: list[SegmentPrompt], request: SegmentRequest) -> SemanticMask:
    from workers.engines.transformers_segment.masks import encode_mask

    assert mask.prompt is not None
    prompt = prompts[mask.prompt]
    return SemanticMask(
        prompt=mask.prompt,
        label=prompt.label or prompt.text,
        area=mask.run_lengths.area,
        mask=encode_mask(mask.run_lengths, request),
    )
