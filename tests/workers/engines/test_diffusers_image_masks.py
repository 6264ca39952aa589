"""Masks and sizes of edits: unmarked pixels stay unchanged, and the answer is as large as its image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from contract.errors import BadImage, InvalidField
from tests.support.image_engines import Painter, ask, draw, edited, left_half, mosaic, pixels, transparent
from tests.support.odd_images import ODD_IMAGES, OddImage, encoded

IMAGE = mosaic()
MASK = left_half()


def test_mask_from_transparency_white_or_the_image_itself(sd: Any) -> None:
    holes = IMAGE.copy()
    holes.paste("white", (0, 0, 32, 64))
    holes.putalpha(MASK.point(lambda value: 255 - value))

    answers = [
        edited(sd, image=encoded(image), mask=mask and encoded(mask))
        for image, mask in (
            (holes.convert("RGB"), transparent(MASK)),
            (holes.convert("RGB"), transparent(MASK, "white")),
            (holes.convert("RGB"), MASK),
            (holes.convert("RGB"), MASK.convert("1")),
            (holes, None),
        )
    ]

    assert all(np.array_equal(answers[0], other) for other in answers[1:])


def test_applies_exif_orientation_to_image_and_mask(sd: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored, mask = mosaic(64, 32), left_half(64, 32)
    sideways = {name: encoded(image, exif=exif) for name, image in (("image", stored), ("mask", transparent(mask)))}
    upright = {
        name: encoded(image.transpose(Image.Transpose.ROTATE_270))
        for name, image in (("image", stored), ("mask", transparent(mask)))
    }

    image = edited(sd, **sideways)

    assert image.shape == (64, 32, 3)
    assert np.array_equal(image, edited(sd, **upright))
    assert np.array_equal(image[32:], np.asarray(stored.transpose(Image.Transpose.ROTATE_270))[32:])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (left_half(32, 64), "mask is 32x64 pixels and the image 64x64"),
        (Image.new("RGBA", (64, 64), "black"), "marks nothing: make the part to redraw transparent"),
    ],
)
def test_refuses_a_mask_of_another_size_or_empty(sd: Any, mask: Image.Image, message: str) -> None:
    with pytest.raises(InvalidField, match=message) as caught:
        edited(sd, image=encoded(IMAGE), mask=encoded(mask))

    assert caught.value.param == "mask"


def test_damaged_image_fails_only_its_request(sd: Any) -> None:
    calls = [ask("edit", image=image, seed=1) for image in (encoded(IMAGE), b"no image", encoded(IMAGE))]

    answers = [answer for _, answer in sd.edit(calls)]

    assert isinstance(answers[1], BadImage)
    assert answers[0].data == answers[2].data


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_odd_images_are_read_upright_in_rgb(flux: Any, odd: OddImage) -> None:
    # For edits, the transparent part of an image is a mask.
    methods = ["vary"] if "A" in odd.name or "alpha" in odd.name else ["vary", "edit"]
    for method in methods:
        image, plain = (pixels(draw(flux, method, image=file, seed=1, steps=1)) for file in (odd.content, odd.plain))
        assert image.shape == (odd.size[1], odd.size[0], 3)
        assert np.array_equal(image, plain)


@pytest.mark.parametrize("size", [(64, 64), (50, 37), (9, 100)])
def test_edit_keeps_the_images_size_by_default(painter: Painter, size: tuple[int, int]) -> None:
    for family in ("sd", "flux"):
        answer = draw(painter(family), "edit", image=encoded(mosaic(*size)), size="auto")

        assert pixels(answer).shape == (size[1], size[0], 3)
        assert "warnings" not in answer.model_dump()


def test_large_image_is_drawn_smaller_with_a_warning(sd: Any) -> None:
    answer = draw(sd, "edit", image=encoded(mosaic(200, 100)))

    assert pixels(answer).shape == (48, 104, 3)
    [warning] = answer.model_dump()["warnings"]
    assert warning.startswith("The image of 200x100 pixels was drawn at 104x48")


def test_large_masked_edit_keeps_the_unmasked_pixels(sd: Any) -> None:
    large = mosaic(200, 100)
    answer = draw(sd, "edit", image=encoded(large), mask=encoded(left_half(200, 100)))

    assert np.array_equal(pixels(answer)[:, 100:], np.asarray(large)[:, 100:])
    assert not np.array_equal(pixels(answer)[:, :100], np.asarray(large)[:, :100])
    assert "enlarged again" in answer.model_dump()["warnings"][0]


def test_size_of_other_proportions_crops_the_image(sd: Any) -> None:
    wide = mosaic(128, 64)
    image = edited(sd, image=encoded(wide), mask=encoded(left_half(128, 64)), size="64x64")

    assert image.shape == (64, 64, 3)
    assert np.array_equal(image[:, 32:], np.asarray(ImageOps.fit(wide, (64, 64)))[:, 32:])


def test_refuses_a_size_between_multiples(sd: Any) -> None:
    with pytest.raises(InvalidField, match="multiples of 8"):
        edited(sd, image=encoded(IMAGE), size="65x64")
