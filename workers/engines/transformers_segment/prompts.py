"""Prompts of a request as SAM's prompt encoder takes them: points and a box for each object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contract.tasks.segment import SegmentPrompt
from contract.tasks.vision import Box, Point

IndexedPrompts = Sequence[tuple[int, SegmentPrompt]]
"""A request's prompts for one image, each with its index among them."""


@dataclass(frozen=True, slots=True)
class ObjectPrompt:
    """One object for the mask decoder: points on it (label 1) or next to it (label 0), a box around it, or both.

    Coordinates are pixels of the image. `index` is that of the prompt in the request.
    """

    index: int
    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box: Box | None = None

    @property
    def shape(self) -> tuple[int, bool]:
        """How many points there are, and whether there is a box. Prompts of equal shape share a pass unpadded."""
        return len(self.points), self.box is not None

    @property
    def is_ambiguous(self) -> bool:
        """Whether it is a single point, which may mean an object, a part of it, or the whole that it belongs to."""
        return self.shape == (1, False)


def object_prompts(prompts: IndexedPrompts) -> Iterator[ObjectPrompt]:
    """The objects that prompts with points or boxes ask for.

    All points of a prompt belong to one object, and so does a box beside them. Without points, each box is an object.
    """
    for index, prompt in prompts:
        boxes = prompt.boxes or []
        if prompt.points:
            labels = prompt.point_labels or [1] * len(prompt.points)
            yield ObjectPrompt(index, tuple(prompt.points), tuple(labels), boxes[0] if boxes else None)
        else:
            yield from (ObjectPrompt(index, box=box) for box in boxes)
