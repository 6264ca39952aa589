"""Images come as `image` or `images`, one or several; errors name the field that the client sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.errors import BadImage, InvalidField
from contract.media import images_in, name_bad_image
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Request, all_tasks

NAMES = ["image-edit", "embeddings", "caption", "segment"]
"""One task of each kind of request that takes several images."""
NO_IMAGE = "bm8="


def decode(name: str, **fields: Any) -> Request:
    body = json.dumps({"prompt": "a cat", **fields}).encode()
    return all_tasks()[name].decode("application/json", body)


def check(request: Request) -> None:
    """Check the images as the gateway does."""
    with name_bad_image(request):
        for image in images_in(request):
            image.check()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"image": NO_IMAGE}, "image"),
        ({"image": [NO_IMAGE]}, "image.0"),
        ({"images": NO_IMAGE}, "images"),
        ({"images": [SAMPLE_IMAGE, NO_IMAGE]}, "images.1"),
        ({"image": SAMPLE_IMAGE, "images": [NO_IMAGE]}, "images.0"),
    ],
)
def test_bad_image_is_named_as_it_was_sent(name: str, fields: dict[str, Any], param: str) -> None:
    request = decode(name, **fields)
    with pytest.raises(BadImage) as error:
        check(request)
    assert error.value.param == param


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["image", "images"])
def test_wrong_values_are_named_as_they_were_sent(name: str, field: str) -> None:
    for wrong in (5, [5]):
        with pytest.raises(InvalidField) as error:
            decode(name, **{field: wrong})
        assert (error.value.param or "").partition(".")[0] == field


@pytest.mark.parametrize("name", NAMES)
def test_images_of_both_fields_are_in_order(name: str) -> None:
    values = [SAMPLE_IMAGE + " " * count for count in range(3)]
    request = decode(name, image=values[:2], images=values[2])
    assert [image.value for image in images_in(request)] in (values, [values[2], *values[:2]])
    if name != "embeddings":
        assert [image.value for image in request.all_images] == values  # type: ignore[attr-defined]


@pytest.mark.parametrize("field", ["image", "images"])
def test_features_are_named_as_the_images_were_sent(field: str) -> None:
    assert decode("image-edit", **{field: [SAMPLE_IMAGE] * 2}).requirements() == [(field, "images")]
    assert decode("embeddings", **{field: [SAMPLE_IMAGE] * 2}).requirements() == [(field, "images")]
    with pytest.raises(InvalidField) as error:
        decode("analyze", **{field: [SAMPLE_IMAGE] * 2, "prompt": None})
    assert error.value.param == field
