"""The image tasks: forms and JSON, several images, required features."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image

from contract.errors import InvalidField
from contract.media import images_in
from contract.tasks.image_edit import IMAGE_EDIT, ImageEditRequest
from contract.tasks.image_generation import IMAGE_GENERATION
from contract.tasks.image_variation import IMAGE_VARIATION


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(buffer, "PNG")
    return buffer.getvalue()


RED, BLUE = png("red"), png("blue")
IMAGE = base64.b64encode(RED).decode()


def edit(**fields: Any) -> ImageEditRequest:
    body = {"prompt": "make it sunset", "image": IMAGE, **fields}
    return IMAGE_EDIT.decode("application/json", json.dumps(body).encode())


def form(*parts: tuple[str, bytes]) -> ImageEditRequest:
    body = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (name.encode(), b'; filename="a.png"' if content[:4] == b"\x89PNG" else b"", content)
        for name, content in parts
    )
    return IMAGE_EDIT.decode("multipart/form-data; boundary=b", body + b"--b--\r\n")


def test_form_and_json_decode_to_the_same_request() -> None:
    numbers = {"strength": "0.7", "steps": "4", "n": "2", "seed": "9", "stream": "false"}
    from_form = form(
        ("image", RED), ("mask", BLUE), ("prompt", b"make it sunset"), *((k, v.encode()) for k, v in numbers.items())
    )
    from_json = edit(mask=base64.b64encode(BLUE).decode(), strength=0.7, steps=4, n=2, seed=9, stream=False)

    assert (from_form.strength, from_form.steps, from_form.n, from_form.seed, from_form.stream) == (0.7, 4, 2, 9, False)
    for request in (from_form, from_json):
        assert [image.read() for image in images_in(request)] == [RED, BLUE]
    assert from_form.model_dump(exclude={"image", "mask"}) == from_json.model_dump(exclude={"image", "mask"})


@pytest.mark.parametrize("name", ["image", "image[]", "images"])
def test_form_accepts_several_images_under_each_name(name: str) -> None:
    assert [image.read() for image in form(("prompt", b"x"), (name, RED), (name, BLUE)).all_images] == [RED, BLUE]


def test_json_accepts_several_images() -> None:
    assert len(edit(image=[IMAGE, IMAGE]).all_images) == 2
    assert len(edit(image=None, images=[IMAGE, IMAGE]).all_images) == 2
    assert len(edit(image=IMAGE, images=[IMAGE]).all_images) == 2


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"image": None}, "image"),
        ({"prompt": ""}, "prompt"),
        ({"strength": 1.1}, "strength"),
        ({"strength": -0.1}, "strength"),
        ({"size": "512"}, "size"),
        ({"output_format": "tiff"}, "output_format"),
        ({"output_compression": 101}, "output_compression"),
    ],
)
def test_error_names_the_wrong_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as error:
        edit(**fields)
    assert (error.value.param or "").partition(".")[0] == param


@pytest.mark.parametrize(
    ("fields", "features"),
    [
        ({}, set()),
        ({"quality": "auto", "background": "opaque", "output_format": "png", "input_fidelity": "low"}, set()),
        ({"mask": IMAGE, "strength": 0.0}, {"mask", "strength"}),
        ({"image": [IMAGE, IMAGE]}, {"images"}),
        ({"markup": IMAGE, "input_fidelity": "high"}, {"markup", "input_fidelity"}),
        ({"stream": True, "partial_images": 2}, {"stream", "partial_images"}),
        ({"stream": False, "partial_images": 0}, set()),
        ({"background": "transparent", "quality": "high"}, {"background"}),
        ({"output_format": "webp", "response_format": "url"}, {"output_format", "response_format"}),
        ({"svg": {"model": "x"}}, {"svg"}),
    ],
)
def test_required_features_of_an_edit(fields: dict[str, Any], features: set[str]) -> None:
    assert {feature for _, feature in edit(**fields).requirements()} == features


def test_variation_needs_no_prompt() -> None:
    request = IMAGE_VARIATION.decode("application/json", json.dumps({"image": IMAGE, "size": "256x256"}).encode())
    assert (request.prompt, request.pixels, request.required_features()) == ("", (256, 256), frozenset())


def test_image_tasks_share_their_fields() -> None:
    shared = set(IMAGE_GENERATION.request.model_fields) - {"style"}
    assert shared < set(IMAGE_EDIT.request.model_fields)
    assert shared < set(IMAGE_VARIATION.request.model_fields)


def test_limit_of_images_counts_both_fields() -> None:
    with pytest.raises(InvalidField, match="at most 16"):
        edit(image=[IMAGE] * 9, images=[IMAGE] * 8)
