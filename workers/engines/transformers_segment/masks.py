"""Masks as run lengths, and their formats in answers: COCO's compressed run lengths, polygons, dense pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from contract.arrays import Array, as_list, as_png
from contract.tasks.segment import Mask, SegmentRequest
from contract.tasks.vision import Box, Point


@dataclass(frozen=True, slots=True, eq=False)
class RunLengths:
    """A mask as lengths of runs down its columns, alternately outside and inside: small even for large images.

    `counts` is an int64 array; the first run is outside, and may be empty. This is COCO's uncompressed RLE
    (github.com/cocodataset/cocoapi).
    """

    height: int
    width: int
    counts: Any

    @classmethod
    def from_mask(cls, mask: Any) -> RunLengths:
        """Encode a tensor of shape (height, width) that is 0 outside. Only the lengths are copied off its device."""
        height, width = mask.shape
        pixels = (mask != 0).T.flatten()
        ends = (pixels[1:] != pixels[:-1]).nonzero()[:, 0].cpu().numpy() + 1
        counts = np.diff(ends, prepend=0, append=height * width)
        return cls(height, width, np.insert(counts, 0, 0) if pixels[0] else counts)

    @classmethod
    def from_transformers(cls, rle: dict[str, Any]) -> RunLengths:
        """The run lengths that transformers' pipeline for mask generation returns."""
        height, width = rle["size"]
        return cls(height, width, np.array(rle["counts"]))

    @property
    def pixels(self) -> Any:
        """The decoded mask: uint8 of 0 and 1, shape (height, width)."""
        inside: Any = np.zeros(len(self.counts), np.uint8)
        inside[1::2] = 1
        return np.repeat(inside, self.counts).reshape(self.width, self.height).T

    @property
    def area(self) -> int:
        """The number of pixels in the mask."""
        return int(self.counts[1::2].sum())

    @property
    def box(self) -> Box:
        """(x0, y0, x1, y1) along the edges of the outermost pixels; all zeros for an empty mask."""
        edges = np.cumsum(self.counts)
        first = edges[:-1:2]
        last = edges[1::2] - 1
        if not len(first):
            return 0, 0, 0, 0
        (x0, x1), (y0, y1) = (first // self.height, last // self.height), (first % self.height, last % self.height)
        if (x0 != x1).any():  # a run that wraps around touches the bottom of one column and the top of the next
            return int(x0.min()), 0, int(x1.max()) + 1, self.height
        return int(x0.min()), int(y0.min()), int(x1.max()) + 1, int(y1.max()) + 1

    @property
    def compressed(self) -> str:
        """COCO's compressed RLE: each run's difference from the one two before it, in characters of five bits."""
        text = bytearray()
        previous = np.zeros_like(self.counts)
        previous[3:] = self.counts[1:-2]
        for difference in (self.counts - previous).tolist():
            rest, more = difference, True
            while more:
                bits, rest = rest & 31, rest >> 5
                more = rest != (-1 if bits & 16 else 0)  # the highest bit is the sign
                text.append(48 + bits + 32 * more)
        return text.decode("ascii")


class NotFinite(Exception):
    """The model computed NaN or infinity. Thresholds would hide it: it exceeds none."""


@dataclass(frozen=True, slots=True)
class PredictedMask:
    """A mask, the index of the prompt that it answers (None for `automatic`), and the model's score for it.

    Without a score it is a semantic mask: of everything that matches the prompt.
    """

    prompt: int | None
    score: float | None
    run_lengths: RunLengths


def without_overlaps(masks: Sequence[PredictedMask], weights: Sequence[float]) -> list[PredictedMask]:
    """The masks, each pixel only in the one with the highest score times its prompt's weight (1 if it has none).

    Of equal ones the first wins. A mask whose weighted score is not positive becomes empty.
    """
    import torch

    def weighted(mask: PredictedMask) -> float:
        index = mask.prompt or 0
        return (mask.score or 0.0) * (weights[index] if index < len(weights) else 1.0)

    resolved = list(masks)
    taken: Any = None
    for index in sorted(range(len(masks)), key=lambda index: -weighted(masks[index])):
        pixels = masks[index].run_lengths.pixels.astype(bool) & (weighted(masks[index]) > 0)
        free = pixels if taken is None else pixels & ~taken
        taken = free if taken is None else taken | free
        own = RunLengths.from_mask(torch.from_numpy(np.ascontiguousarray(free)))
        resolved[index] = replace(masks[index], run_lengths=own)
    return resolved


def encode_mask(run_lengths: RunLengths, request: SegmentRequest) -> Mask:
    """The mask in the format that the request wants: `rle`, `polygon` or `dense`."""
    if request.format == "rle":
        return Mask(format="rle", size=(run_lengths.height, run_lengths.width), counts=run_lengths.compressed)
    if request.format == "polygon":
        x0, y0, x1, y1 = map(int, run_lengths.box)
        return Mask(format="polygon", polygons=outlines(run_lengths.pixels[y0:y1, x0:x1], x0, y0))
    if request.encoding_format == "float":
        return Mask(format="dense", pixels=Array.from_numpy(np.ascontiguousarray(run_lengths.pixels), encode=as_list))
    return Mask(
        format="dense", png=Array.from_numpy(np.ascontiguousarray(run_lengths.pixels) * np.uint8(255), encode=as_png)
    )


def outlines(pixels: Any, x0: int = 0, y0: int = 0) -> list[list[Point]]:
    """The outlines of a mask's connected parts, without holes: polygons along the edges of pixels.

    `pixels` is uint8 of 0 and 1, shape (height, width), a crop of the image that starts at `x0`, `y0`. Parts that only
    touch at a corner are separate. The filled polygons are exactly the mask with its holes filled.
    """
    padded = np.pad(pixels, 1)
    above_left, above_right, left, right = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    neighbours = above_left + above_right + left + right
    touching = (neighbours == 2) & (above_left == right)  # two pixels that share this corner and nothing else
    corners = neighbours % 2 + 2 * touching
    ys, xs = np.nonzero(corners)
    multiplicity = corners[ys, xs]
    ys, xs = np.repeat(ys, multiplicity), np.repeat(xs, multiplicity)
    # Along a row, every second edge between corners belongs to an outline, and likewise down a column. Two corners in
    # one place belong to the pixels on the left and on the right, in this order; down a column the upper one is first.
    index = np.arange(len(xs))
    rising = (touching & (above_right == 1))[ys, xs]
    down = np.lexsort((np.where(rising, -index, index), ys, xs))
    vertical_neighbour = np.empty_like(index)
    vertical_neighbour[down] = down[index ^ 1]
    inside = right[ys, xs] == 1  # a ring starts at its upper left corner, where the ring of a hole has no pixel
    return _rings((xs + x0).tolist(), (ys + y0).tolist(), vertical_neighbour.tolist(), inside.tolist())


def _rings(xs: list[int], ys: list[int], vertical_neighbour: list[int], inside: list[bool]) -> list[list[Point]]:
    """Follow the edges, alternately horizontal and vertical, from each corner that is not yet part of a ring."""
    rings: list[list[Point]] = []
    visited = [False] * len(xs)
    for start in range(len(xs)):
        ring: list[Point] = []
        corner = start
        while not visited[corner]:
            opposite = corner ^ 1  # the other end of its horizontal edge: corners are numbered along the rows
            visited[corner] = visited[opposite] = True
            ring += [(xs[corner], ys[corner]), (xs[opposite], ys[opposite])]
            corner = vertical_neighbour[opposite]
        if ring and inside[start]:
            rings.append(ring)
    return rings
