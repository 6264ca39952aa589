"""Images share a batch only where their processor does not pad one to the size of another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from workers.toolkit.image_processors import has_fixed_size, target_sizes, without_padding

SQUARE = {"height": 64, "width": 64}
SHORTEST_EDGE = {"shortest_edge": 80}


@pytest.mark.parametrize(
    ("processor", "fixed"),
    [
        ({"size": SQUARE}, True),
        ({"size": SHORTEST_EDGE}, False),
        ({"size": None}, False),
        ({"size": SHORTEST_EDGE, "do_center_crop": True, "crop_size": SQUARE}, True),
        ({"size": SHORTEST_EDGE, "do_center_crop": False, "crop_size": SQUARE}, False),
    ],
)
def test_batches_images_of_any_size_only_if_resized_alike(processor: dict[str, Any], fixed: bool) -> None:
    wide, tall = SimpleNamespace(width=9, height=4), SimpleNamespace(width=4, height=9)
    assert has_fixed_size(SimpleNamespace(**processor)) == fixed
    group: Any = without_padding(SimpleNamespace(**processor))
    assert (group(wide) == group(tall)) == fixed
    assert group(wide) == group(wide)


def test_target_sizes_are_height_and_width() -> None:
    assert target_sizes([Image.new("RGB", (80, 60)), Image.new("RGB", (1, 2))]) == [(60, 80), (2, 1)]
