"""With a CPU torch, a CUDA build of torchvision can be imported, and its `nms` and `roi_align` work."""

from __future__ import annotations

import pytest
import torch

from workers.toolkit import torchvision_shim

torchvision = pytest.importorskip("torchvision")


def test_nms_keeps_the_best_of_overlapping_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30], [0, 0, 10, 9]])
    scores = torch.tensor([0.5, 0.9, 0.3, 0.1])
    assert torchvision_shim.nms(boxes, scores, 0.5).tolist() == [1, 2]
    assert torchvision_shim.nms(boxes, scores, 0.95).tolist() == [1, 0, 2, 3]


def test_nms_of_no_boxes() -> None:
    kept = torchvision_shim.nms(torch.empty(0, 4), torch.empty(0), 0.5)
    assert kept.dtype == torch.int64
    assert kept.tolist() == []


def test_torchvision_finds_the_operators() -> None:
    from torchvision.ops import batched_nms, nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10]])
    scores = torch.tensor([0.5, 0.9])
    assert nms(boxes, scores, 0.5).tolist() == [1]
    assert batched_nms(boxes, scores, torch.tensor([0, 1]), 0.5).tolist() == [1, 0]  # of two classes


@pytest.mark.parametrize("boxes", [[[0.0, 0, 4, 4], [2, 2, 8, 6]], []])
def test_roi_align_averages_each_region(boxes: list[list[float]]) -> None:
    from torchvision.ops import roi_align

    columns = torch.arange(10.0).expand(1, 1, 10, 10)  # each value is the index of its column
    regions = roi_align(columns, [torch.tensor(boxes).reshape(-1, 4)], 2, aligned=True)

    middles = [[x0 + (x1 - x0) * part - 0.5 for part in (0.25, 0.75)] for x0, _, x1, _ in boxes]
    assert regions.shape == (len(boxes), 1, 2, 2)
    assert torch.allclose(regions[:, 0, 0], torch.tensor(middles).reshape(-1, 2))
