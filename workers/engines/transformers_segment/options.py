"""The options of an entry with the engine transformers_segment."""

from __future__ import annotations

from pydantic import Field

from workers.toolkit.pretrained import TorchOptions


class SegmentOptions(TorchOptions):
    """How `automatic` segments everything in an image; a request's `threshold` overrides `min_score`.

    The model is prompted with a grid of `points_per_side` by `points_per_side` points, and again in `crop_layers`
    layers of ever smaller crops. Masks are dropped if their score is below `min_score`, if they change with the mask
    threshold more than `min_stability` allows, or if their box overlaps that of a better mask by more than
    `max_overlap`. `points_per_pass` limits memory and does not change the answer.
    """

    points_per_side: int = Field(32, ge=1, le=256)
    points_per_pass: int = Field(64, ge=1)
    crop_layers: int = Field(0, ge=0, le=4)
    min_score: float = Field(0.88, ge=0, le=1)
    min_stability: float = Field(0.95, ge=0, le=1)
    max_overlap: float = Field(0.7, ge=0, le=1)
