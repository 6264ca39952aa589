"""Masks in the forms in which they travel: COCO's run lengths, polygons along the edges of pixels, dense pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.arrays import Array, as_png
from contract.tasks.segment import Mask
from contract.tasks.vision import Box, Point


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """A mask as run lengths down its columns, by turns outside and inside of it: small, however large the picture.

    `counts` is int64; the first run is outside, and may be empty. So does COCO count (github.com/cocodataset/cocoapi).
    """

    height: int
    width: int
    counts: Any

    @classmethod
    def of(cls, mask: Any) -> Runs:
        """Of a tensor of shape (height, width) that is 0 outside. Only the lengths leave its device."""
        height, width = mask.shape
        pixels = (mask != 0).T.flatten()
        ends = (pixels[1:] != pixels[:-1]).nonzero()[:, 0].cpu().numpy() + 1
        counts = np.diff(ends, prepend=0, append=height * width)
        return cls(height, width, np.insert(counts, 0, 0) if pixels[0] else counts)

    @property
    def pixels(self) -> Any:
        """uint8 of 0 and 1, shape (height, width)."""
        inside: Any = np.zeros(len(self.counts), np.uint8)
        inside[1::2] = 1
        return np.repeat(inside, self.counts).reshape(self.width, self.height).T

    @property
    def area(self) -> int:
        """How many pixels the mask has."""
        return int(self.counts[1::2].sum())

    @property
    def box(self) -> Box:
        """[x0, y0, x1, y1] along the edges of the outermost pixels; an empty mask's is all zeros."""
        edges = np.cumsum(self.counts)
        first = edges[:-1:2]
        last = edges[1::2] - 1
        if not len(first):
            return 0, 0, 0, 0
        (x0, x1), (y0, y1) = (first // self.height, last // self.height), (first % self.height, last % self.height)
        if (x0 != x1).any():  # from the foot of one column on at the top of the next
            return int(x0.min()), 0, int(x1.max()) + 1, self.height
        return int(x0.min()), int(y0.min()), int(x1.max()) + 1, int(y1.max()) + 1

    @property
    def compressed(self) -> str:
        """COCO's text: of each run how much it is longer than the last of its kind, in characters of five bits."""
        text = bytearray()
        last = np.zeros_like(self.counts)
        last[3:] = self.counts[1:-2]
        for number in (self.counts - last).tolist():
            rest, more = number, True
            while more:
                bits, rest = rest & 31, rest >> 5
                more = rest != (-1 if bits & 16 else 0)  # the highest bit is the sign
                text.append(48 + bits + 32 * more)
        return text.decode("ascii")


@dataclass(frozen=True, slots=True)
class Found:
    """One mask: for which prompt (by its index; None: for none) and how sure the model is of it.

    A mask without a score is that of everything which fits its prompt.
    """

    prompt: int | None
    score: float | None
    runs: Runs


def shown(runs: Runs, form: str) -> Mask:
    """The mask as the request wants it: `rle`, `polygon` or `dense`."""
    if form == "rle":
        return Mask(format="rle", size=(runs.height, runs.width), counts=runs.compressed)
    if form == "polygon":
        x0, y0, x1, y1 = map(int, runs.box)
        return Mask(format="polygon", polygons=outlines(runs.pixels[y0:y1, x0:x1], x0, y0))
    return Mask(format="dense", png=Array.from_numpy(np.ascontiguousarray(runs.pixels) * np.uint8(255), encode=as_png))


def outlines(pixels: Any, x0: int = 0, y0: int = 0) -> list[list[Point]]:
    """The outlines of a mask's parts, its holes left out: corners of polygons along the edges of pixels.

    `pixels` is uint8 of 0 and 1, shape (height, width), cut out of the picture at `x0`, `y0`. Parts that touch at a
    corner alone are two. Filled, the polygons are the mask with its holes filled, to the pixel.
    """
    padded = np.pad(pixels, 1)
    above_left, above_right, left, right = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    around = above_left + above_right + left + right
    touching = (around == 2) & (above_left == right)  # two pixels that share this corner and nothing else
    corners = around % 2 + 2 * touching
    ys, xs = np.nonzero(corners)
    number = corners[ys, xs]
    ys, xs = np.repeat(ys, number), np.repeat(xs, number)
    # Along a row every second edge between corners is an outline's, and so down a column. Two corners in one place
    # belong to the left and the right pixel there, in this order; down the column the upper pixel's comes first.
    rank = np.arange(len(xs))
    rising = (touching & (above_right == 1))[ys, xs]
    down = np.lexsort((np.where(rising, -rank, rank), ys, xs))
    below = np.empty_like(rank)
    below[down] = down[rank ^ 1]
    inside = right[ys, xs] == 1  # a ring begins at its upper left corner, where a hole has no pixel
    return _rings((xs + x0).tolist(), (ys + y0).tolist(), below.tolist(), inside.tolist())


def _rings(xs: list[int], ys: list[int], below: list[int], inside: list[bool]) -> list[list[Point]]:
    """Follow the edges, across and down in turn, from each corner that no ring has yet."""
    rings: list[list[Point]] = []
    seen = [False] * len(xs)
    for start in range(len(xs)):
        ring: list[Point] = []
        corner = start
        while not seen[corner]:
            across = corner ^ 1  # the other end of its horizontal edge: corners are numbered along the rows
            seen[corner] = seen[across] = True
            ring += [(xs[corner], ys[corner]), (xs[across], ys[across])]
            corner = below[across]
        if ring and inside[start]:
            rings.append(ring)
    return rings
