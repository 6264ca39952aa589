"""Makes a CUDA build of torchvision importable beside a CPU build of torch; import it before transformers.

PyPI's torchvision for Linux is a CUDA build. Beside a CPU torch its compiled part does not load, its import fails
("operator torchvision::nms does not exist"), and with it everything in transformers that handles pictures. The shim
declares the operators that the compiled part would have declared, gives `nms` a kernel in Python, and keeps
`roi_align` (SAM 3's examples) from compiling one at its first use, which takes 17 s and a C++ compiler. It does nothing
where torchvision is absent or healthy. `torchvision.io` stays unusable; pictures are decoded by Pillow here.
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

    `dets` is (n, 4) boxes x0, y0, x1, y1; `scores` is (n,). Gives the indices of the boxes to keep, best first.
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
    """torchvision's `roi_align` in Python, not compiled: boxes go through it singly, since it wants much memory."""

    def aligned(features: Any, boxes: Any, *settings: Any) -> Any:
        return torch.cat([align(features, box, *settings) for box in boxes.split(1)])

    return aligned


def _is_broken(folder: Path) -> bool:
    """Whether torchvision is there with a compiled part that this torch cannot load."""
    compiled = [*folder.glob("_C*.so"), *folder.glob("_C*.pyd")]
    try:
        torch.ops.load_library(str(compiled[0]))
    except (IndexError, OSError):
        return True
    return False


def apply() -> Any:
    """Repair torchvision if it needs it. Gives the torch library that holds the operators, or None."""
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
"""Held for as long as the process lives: the operators go when it goes. None: nothing was to be repaired."""
