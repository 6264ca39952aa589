"""Reading order: rows from top to bottom, each from left to right."""

from __future__ import annotations

from typing import Any

import pytest

from contract.tasks.ocr import OcrLine
from workers.toolkit.reading_order import join_lines, reading_order


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@pytest.mark.parametrize(
    ("boxes", "rows"),
    [
        ([], []),
        ([box(0, 0, 9, 9)], [[0]]),
        ([box(50, 1, 90, 11), box(0, 0, 40, 10)], [[1, 0]]),
        ([box(0, 20, 9, 30), box(0, 0, 9, 10)], [[1], [0]]),
        ([box(0, 0, 40, 10), box(50, 3, 90, 13), box(100, 6, 140, 16)], [[0, 1, 2]]),  # a slight slope
        ([box(0, 0, 40, 40), box(50, 12, 90, 26), box(0, 45, 40, 55)], [[0, 1], [2]]),  # a large letter
    ],
)
def test_reading_order(boxes: list[Any], rows: list[list[int]]) -> None:
    assert reading_order(boxes) == rows


def test_lines_side_by_side_are_one_row() -> None:
    lines = [
        OcrLine(text=text, score=1, polygon=box(*corners))
        for text, corners in {"right": (50, 1, 90, 11), "below": (0, 20, 40, 30), "left": (0, 0, 40, 10)}.items()
    ]
    text, ordered = join_lines(lines)
    assert text == "left right\nbelow"
    assert [line.text for line in ordered] == ["left", "right", "below"]
