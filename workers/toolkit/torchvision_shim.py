"""Makes a CUDA build of torchvision importable next to a CPU build of torch; import it before transformers.

PyPI's torchvision for Linux is a CUDA build. A CPU torch cannot load its compiled part, so importing torchvision
fails ("operator torchvision::nms does not exist"), and with it everything in transformers that handles images. The shim
declares the missing operators, implements `nms` in Python, and keeps `roi_align` (used by SAM 3's examples) from being
compiled at its first use, which takes 17 s and a C++ compiler. It does nothing if torchvision is absent or works.
`torchvision.io` stays unusable; Enginehouse decodes images with Pillow.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def nms(dets: Any, scores: Any, iou_threshold: float) -> Any:
    """Non-maximum suppression as torchvision defines it.

    `dets` are (n, 4) boxes x0, y0, x1, y1; `scores` is (n,). Returns the indices of the boxes to keep, best first.
    """
    order = scores.argsort(descending=True, stable=True)
    area = (dets[:, 2] - dets[:, 0]) * (dets[:, 3] - dets[:, 1])
    keep = []
    while order.numel():
        best, rest = order[0], order[1:]
        keep.append(best)
        low = torch.maximum(dets[best, :2], dets[rest, :2])
        high = torch.minimum(dets[best, 2:], dets[rest, 2:])
        overlap = (high - low).clamp(min=0).prod(dim=1)
        order = rest[overlap / (area[best] + area[rest] - overlap) <= iou_threshold]
    return torch.stack(keep) if keep else order.new_empty(0)


def _one_by_one(align: Any) -> Any:
    """torchvision's Python version of `roi_align`, one box at a time, since it needs much memory."""

    def aligned(features: Any, boxes: Any, *settings: Any) -> Any:
        return torch.cat([align(features, box, *settings) for box in boxes.split(1)])

    return aligned


def _is_broken(folder: Path) -> bool:
    """Whether torchvision's compiled part is missing, or cannot be loaded by this torch."""
    compiled = [*folder.glob("_C*.so"), *folder.glob("_C*.pyd")]
    try:
        torch.ops.load_library(str(compiled[0]))
    except (IndexError, OSError):
        return True
    return False


def apply() -> Any:
    """Repair torchvision if needed. Returns the torch library with the operators, or None."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or not _is_broken(Path(spec.origin).parent):
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(operator + _SCHEMA)
    library.impl("nms", nms, "CPU")
    boxes: Any = importlib.import_module("torchvision.ops.boxes")
    boxes._assert_has_ops = lambda: None  # nms finds the kernel above
    regions: Any = importlib.import_module("torchvision.ops.roi_align")
    regions._roi_align = _one_by_one(regions._roi_align.__wrapped__)
    return library


LIBRARY = apply()
"""Kept for the life of the process, because the operators disappear with it. None: no repair was needed."""
