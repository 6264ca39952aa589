"""Beside a CPU torch a CUDA build of torchvision imports, and its `nms` keeps the right boxes."""

from __future__ import annotations

import pytest
import torch

from workers import torchvision_shim

torchvision = pytest.importorskip("torchvision")


def test_overlapping_boxes_fall_to_the_best() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30], [0, 0, 10, 9]])
    scores = torch.tensor([0.5, 0.9, 0.3, 0.1])
    assert torchvision_shim.nms(boxes, scores, 0.5).tolist() == [1, 2]
    assert torchvision_shim.nms(boxes, scores, 0.95).tolist() == [1, 0, 2, 3]


def test_no_boxes_leave_none() -> None:
    kept = torchvision_shim.nms(torch.empty(0, 4), torch.empty(0), 0.5)
    assert kept.dtype == torch.int64
    assert kept.tolist() == []


def test_torchvision_itself_finds_the_operator() -> None:
    from torchvision.ops import batched_nms, nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10]])
    scores = torch.tensor([0.5, 0.9])
    assert nms(boxes, scores, 0.5).tolist() == [1]
    assert batched_nms(boxes, scores, torch.tensor([0, 1]), 0.5).tolist() == [1, 0]  # of two kinds
