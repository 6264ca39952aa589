"""Segments everything in an image: prompts SAM with a grid of points, and keeps the good and stable masks.

As in section 5 of arXiv:2304.02643, with the steps of transformers' own pipeline for mask generation.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torchvision.ops import nms

from contract.tasks.segment import SegmentRequest
from workers.engines.transformers_segment.masks import NotFinite, PredictedMask, RunLengths
from workers.engines.transformers_segment.options import SegmentOptions
from workers.toolkit.finite import is_finite
from workers.toolkit.image_batches import BatchImage

_MAX_MASK_VALUES = 1 << 28
"""The maximum number of values in the masks of one pass: 1 GiB."""


class AutomaticMaskGenerator:
    """Finds all masks in an image with a SAM model, without prompts from the request."""

    def __init__(self, model: Any, processor: Any, options: SegmentOptions) -> None:
        self._model = model
        self._processor = processor
        self._options = options

    @cached_property
    def _pipeline(self) -> Any:
        from transformers import MaskGenerationPipeline

        # The pipeline must not move a model that was loaded straight onto its device.
        device = {} if hasattr(self._model, "hf_device_map") else {"device": self._model.device}
        return MaskGenerationPipeline(model=self._model, image_processor=self._processor, **device)

    def generate(self, image: BatchImage[SegmentRequest], mask_threshold: float) -> Iterator[PredictedMask]:
        """The image's masks, best first; none if its call is cancelled. `mask_threshold` is a logit."""
        min_score = self._options.min_score if image.request.threshold is None else image.request.threshold
        passes = []
        for inputs in self._passes(image):
            if image.call.cancelled:
                return
            if not is_finite(inputs["image_embeddings"]):
                raise NotFinite
            passes.append(
                self._pipeline.forward(
                    self._stretched(inputs),
                    pred_iou_thresh=min_score,
                    stability_score_thresh=self._options.min_stability,
                    mask_threshold=mask_threshold,
                )
            )
        # Not the pipeline's own last step: that would decode all masks at once, and only run lengths are needed.
        masks = [mask for outputs in passes for mask in outputs["masks"]]
        scores = torch.cat([outputs["iou_scores"] for outputs in passes]).float()
        boxes = torch.cat([outputs["boxes"] for outputs in passes]).float()
        for kept in nms(boxes, scores, self._options.max_overlap).tolist():
            yield PredictedMask(None, float(scores[kept]), RunLengths.from_transformers(masks[kept]))

    def _passes(self, image: BatchImage[SegmentRequest]) -> Iterator[dict[str, Any]]:
        """The model's inputs, some points at a time: each point makes three masks of the image's size."""
        points_per_pass = max(1, _MAX_MASK_VALUES // (3 * image.width * image.height))
        passes: Iterator[dict[str, Any]] = self._pipeline.preprocess(
            image.pil,
            points_per_batch=min(self._options.points_per_pass, points_per_pass),
            points_per_crop=self._options.points_per_side,
            crops_n_layers=self._options.crop_layers,
        )
        return passes

    @staticmethod
    def _stretched(inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs whose grid of points covers the whole image.

        SAM 2 and SAM 3 see images stretched to a square, but transformers (5.23) scales the grid without stretching
        it, so that it would cover only a part of the shorter side.
        """
        if "reshaped_input_sizes" in inputs:  # SAM 1 keeps an image's aspect ratio
            return inputs
        x0, y0, x1, y1 = inputs["input_boxes"][0].tolist()
        longer_side = max(x1 - x0, y1 - y0)
        points = inputs["input_points"] * torch.tensor([longer_side / (x1 - x0), longer_side / (y1 - y0)])
        return {**inputs, "input_points": points}
