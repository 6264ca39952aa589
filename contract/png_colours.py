"""Colours that a PNG file describes by a gamma (`gAMA`) and, beside it, by its red, green, blue and white (`cHRM`).

Source: PNG, third edition, 4.3 and 11.3.2. These chunks count only in files without `cICP`, `iCCP` and `sRGB`. As in
browsers, `cHRM` alone does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contract.coded_colours import D50, NUMBERS, matrix_profile

_BETTER = {NUMBERS, "icc_profile", "srgb"}
"""What Pillow and we call `cICP`, `iCCP` and `sRGB`."""
_SRGB_GAMMA = 1 / 2.2
_SRGB_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""The chromaticities (x, y) of white, red, green and blue."""
_GAMMA_TOLERANCE, _POINT_TOLERANCE = 0.05, 0.005
"""How far from sRGB's are still those of sRGB: relatively, as in libpng, and absolutely."""
_GAMMAS = (0.1, 10.0)
"""Others are mistakes: all of the image would be nearly black, or nearly white."""
_FLAT = 1e-6

Vector = tuple[float, float, float]
_BRADFORD: Sequence[Vector] = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
"""From XYZ to what the eye's receptors see, which adapts to the white (ICC.1:2022, annex E)."""


def profile_of_png(info: Mapping[str, Any]) -> bytes | None:
    """The colour profile (ICC) that the chunks stand for; None if they stand for sRGB or make no sense.

    `info` is that of an image whose header has been read: chunks behind the pixels do not count.
    """
    if info.keys() & _BETTER:
        return None
    gamma, points = _gamma(info.get("gamma", 0)), _points(info.get("chromaticity", ()))
    is_srgb = points is _SRGB_POINTS and gamma is not None and abs(gamma / _SRGB_GAMMA - 1) < _GAMMA_TOLERANCE
    if gamma is None or points is None or is_srgb:
        return None
    primaries = _primaries(points)
    return matrix_profile(primaries, (1 / gamma,)) if primaries else None


def _gamma(gamma: float) -> float | None:
    least, most = _GAMMAS
    return gamma if least <= gamma <= most else None


def _points(points: Sequence[float]) -> Sequence[float] | None:
    """The chromaticities of a file: those of sRGB if it has none; None if they are no colours."""
    if len(points) != len(_SRGB_POINTS):
        return _SRGB_POINTS
    pairs = zip(points, _SRGB_POINTS, strict=True)
    if all(abs(point - ours) < _POINT_TOLERANCE for point, ours in pairs):
        return _SRGB_POINTS
    return points if max(points) <= 1 and min(points[1::2]) > 0 else None


def _primaries(points: Sequence[float]) -> Sequence[Vector] | None:
    """Red, green and blue in XYZ under D50; None if no mixture of them is white."""
    white, *colours = (_xyz(x, y) for x, y in zip(points[::2], points[1::2], strict=True))
    shares = _solved(colours, white)
    if shares is None or min(shares) <= 0:
        return None
    seen, wanted = _product(_BRADFORD, white), _product(_BRADFORD, D50)
    adapted: list[Vector | None] = []
    for colour, share in zip(colours, shares, strict=True):
        receptors = _product(_BRADFORD, colour)
        scaled = [share * value * to / at for value, to, at in zip(receptors, wanted, seen, strict=True)]
        adapted.append(_solved(list(zip(*_BRADFORD, strict=True)), scaled))
    return [colour for colour in adapted if colour]


def _xyz(x: float, y: float) -> Vector:
    """A colour of brightness 1."""
    return x / y, 1.0, (1 - x - y) / y


def _product(rows: Sequence[Vector], vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in rows]


def _solved(columns: Sequence[Vector], total: Sequence[float]) -> Vector | None:
    """How much of each column makes the total, by Cramer's rule; None if the columns are in one plane."""
    first, second, third = columns
    volume = _volume(first, second, third)
    if abs(volume) < _FLAT:
        return None
    return (
        _volume(total, second, third) / volume,
        _volume(first, total, third) / volume,
        _volume(first, second, total) / volume,
    )


def _volume(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    """The determinant of three columns."""
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + c[0] * (a[1] * b[2] - a[2] * b[1])
