"""Puts the lines of text found in a picture into the order in which a person reads them."""

from __future__ import annotations

from collections.abc import Sequence

from contract.tasks.ocr import OcrLine

Polygon = list[tuple[float, float]]


def join_lines(lines: Sequence[OcrLine]) -> tuple[str, list[OcrLine]]:
    """The text, one row of the picture a line and what stands side by side apart by a space; and the lines in order."""
    rows = reading_order([line.polygon for line in lines])
    text = "\n".join(" ".join(lines[number].text for number in row) for row in rows)
    return text, [lines[number] for row in rows for number in row]


def reading_order(polygons: Sequence[Polygon]) -> list[list[int]]:
    """Rows from top to bottom, each with the numbers of its polygons from left to right.

    A polygon belongs to a row when their middles differ by less than half the smaller of their heights, so that
    neither a slight slope nor a mix of letter sizes tears a row apart.
    """
    spans = [(min(y for _, y in polygon), max(y for _, y in polygon)) for polygon in polygons]
    lefts = [min(x for x, _ in polygon) for polygon in polygons]
    rows: list[list[int]] = []
    for number in sorted(range(len(spans)), key=lambda n: sum(spans[n])):
        if rows and _same_row(spans[rows[-1][-1]], spans[number]):
            rows[-1].append(number)
        else:
            rows.append([number])
    return [sorted(row, key=lambda n: lefts[n]) for row in rows]


def _same_row(one: tuple[float, float], other: tuple[float, float]) -> bool:
    apart = abs(sum(one) - sum(other)) / 2
    return apart < min(one[1] - one[0], other[1] - other[0]) / 2


def clip_polygon(polygon: Sequence[Sequence[float]], width: int, height: int) -> Polygon:
    """The polygon's corners, moved into the picture where they lie outside."""
    return [(min(max(x, 0), width), min(max(y, 0), height)) for x, y in polygon]
