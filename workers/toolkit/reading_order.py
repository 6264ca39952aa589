"""Sorts the lines of text found in an image into reading order."""

from __future__ import annotations

from collections.abc import Sequence

from contract.tasks.ocr import OcrLine

Polygon = list[tuple[float, float]]


def join_lines(lines: Sequence[OcrLine]) -> tuple[str, list[OcrLine]]:
    """The text, with one line per row of the image and spaces between lines side by side; and the lines in order."""
    rows = reading_order([line.polygon for line in lines])
    text = "\n".join(" ".join(lines[index].text for index in row) for row in rows)
    return text, [lines[index] for row in rows for index in row]


def reading_order(polygons: Sequence[Polygon]) -> list[list[int]]:
    """Rows from top to bottom, each with the indices of its polygons from left to right.

    A polygon belongs to a row if their middles differ by less than half the smaller of their heights, so that neither
    a slight slope nor a mix of letter sizes splits a row.
    """
    spans = [(min(y for _, y in polygon), max(y for _, y in polygon)) for polygon in polygons]
    lefts = [min(x for x, _ in polygon) for polygon in polygons]
    rows: list[list[int]] = []
    for index in sorted(range(len(spans)), key=lambda i: sum(spans[i])):
        if rows and _same_row(spans[rows[-1][-1]], spans[index]):
            rows[-1].append(index)
        else:
            rows.append([index])
    return [sorted(row, key=lambda i: lefts[i]) for row in rows]


def _same_row(first: tuple[float, float], second: tuple[float, float]) -> bool:
    distance = abs(sum(first) - sum(second)) / 2
    return distance < min(first[1] - first[0], second[1] - second[0]) / 2


def clip_polygon(polygon: Sequence[Sequence[float]], width: int, height: int) -> Polygon:
    """The polygon with its corners clipped to the image."""
    return [(min(max(x, 0), width), min(max(y, 0), height)) for x, y in polygon]
