"""Everything in a picture: a grid of points is asked for its masks, and the good and stable ones stay.

As in section 5 of arXiv:2304.02643, with the steps of transformers' own pipeline for mask generation.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.ops import nms

from contract.tasks.segment import SegmentRequest
from workers.engines.transformers_segment.masks import Found, Runs
from workers.toolkit.image_batches import BatchImage

if TYPE_CHECKING:
    from workers.engines.transformers_segment import SegmentOptions

_MASK_VALUES = 1 << 28
"""How many values the masks of one pass may have: 1 GiB."""


class Everything:
    """A model for mask generation that is asked for all it can find."""

    def __init__(self, model: Any, processor: Any, options: SegmentOptions) -> None:
        self._model = model
        self._processor = processor
        self._options = options

    @cached_property
    def _pipeline(self) -> Any:
        from transformers import MaskGenerationPipeline

        # A model that was placed while it was loaded may not be placed again.
        placed = {} if hasattr(self._model, "hf_device_map") else {"device": self._model.device}
        return MaskGenerationPipeline(model=self._model, image_processor=self._processor, **placed)

    def find(self, picture: BatchImage[SegmentRequest], mask_threshold: float) -> Iterator[Found]:
        """The masks, best first. `mask_threshold` is compared with the values that the model gives pixels."""
        least = picture.request.threshold
        outputs = []
        for inputs in self._passes(picture):
            if picture.call.cancelled:
                return
            outputs.append(
                self._pipeline.forward(
                    self._stretched(inputs),
                    pred_iou_thresh=self._options.min_score if least is None else least,
                    stability_score_thresh=self._options.min_stability,
                    mask_threshold=mask_threshold,
                )
            )
        # The pipeline's last step would unfold all masks at once, of which only the run lengths are needed.
        masks = [mask for output in outputs for mask in output["masks"]]
        scores = torch.cat([output["iou_scores"] for output in outputs]).float()
        boxes = torch.cat([output["boxes"] for output in outputs]).float()
        for best in nms(boxes, scores, self._options.max_overlap).tolist():
            yield Found(None, float(scores[best]), _runs(masks[best]))

    def _passes(self, picture: BatchImage[SegmentRequest]) -> Iterator[dict[str, Any]]:
        """What the model is asked, some points at a time: three masks a point, each of the picture's size."""
        fitting = max(1, _MASK_VALUES // (3 * picture.width * picture.height))
        passes: Iterator[dict[str, Any]] = self._pipeline.preprocess(
            picture.pil,
            points_per_batch=min(self._options.points_per_pass, fitting),
            points_per_crop=self._options.points_per_side,
            crops_n_layers=self._options.crop_layers,
        )
        return passes

    @staticmethod
    def _stretched(inputs: dict[str, Any]) -> dict[str, Any]:
        """SAM 2 and SAM 3 see pictures stretched to a square, but transformers (5.23) keeps the shape of the grid.

        Without this the short side of a picture would be asked about only in part.
        """
        if "reshaped_input_sizes" in inputs:  # SAM sees a picture in its own shape
            return inputs
        x0, y0, x1, y1 = inputs["input_boxes"][0].tolist()
        longest = max(x1 - x0, y1 - y0)
        points = inputs["input_points"] * torch.tensor([longest / (x1 - x0), longest / (y1 - y0)])
        return {**inputs, "input_points": points}


def _runs(rle: dict[str, Any]) -> Runs:
    """Of run lengths as transformers has them."""
    height, width = rle["size"]
    return Runs(height, width, np.array(rle["counts"]))
