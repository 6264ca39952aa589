"""The tasks that draw: OpenAI's forms and ours mean the same, and tell what only some engines can."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image

from contract.errors import InvalidField
from contract.media import images_in
from contract.tasks import Request, all_tasks
from contract.tasks.image_edit import IMAGE_EDIT, ImageEditRequest
from contract.tasks.image_generation import IMAGE_GENERATION
from contract.tasks.image_variation import IMAGE_VARIATION


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(buffer, "PNG")
    return buffer.getvalue()


RED, BLUE = png("red"), png("blue")
PICTURE = base64.b64encode(RED).decode()


def edit(**fields: Any) -> ImageEditRequest:
    body = {"prompt": "make it sunset", "image": PICTURE, **fields}
    return IMAGE_EDIT.decode("application/json", json.dumps(body).encode())


def form(*parts: tuple[str, bytes]) -> ImageEditRequest:
    body = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (name.encode(), b'; filename="a.png"' if content[:4] == b"\x89PNG" else b"", content)
        for name, content in parts
    )
    return IMAGE_EDIT.decode("multipart/form-data; boundary=b", body + b"--b--\r\n")


def test_a_form_and_json_mean_the_same() -> None:
    numbers = {"strength": "0.7", "steps": "4", "n": "2", "seed": "9", "stream": "false"}
    sent = form(
        ("image", RED), ("mask", BLUE), ("prompt", b"make it sunset"), *((k, v.encode()) for k, v in numbers.items())
    )
    told = edit(mask=base64.b64encode(BLUE).decode(), strength=0.7, steps=4, n=2, seed=9, stream=False)

    assert (sent.strength, sent.steps, sent.n, sent.seed, sent.stream) == (0.7, 4, 2, 9, False)
    assert [image.read() for image in images_in(sent)] == [RED, BLUE] == [image.read() for image in images_in(told)]
    assert sent.model_dump(exclude={"image", "mask"}) == told.model_dump(exclude={"image", "mask"})


@pytest.mark.parametrize("name", ["image", "image[]", "images"])
def test_several_pictures_come_as_a_list_under_each_name(name: str) -> None:
    assert [picture.read() for picture in form(("prompt", b"x"), (name, RED), (name, BLUE)).all_images] == [RED, BLUE]


def test_several_pictures_in_json() -> None:
    assert len(edit(image=[PICTURE, PICTURE]).all_images) == 2
    assert len(edit(image=None, images=[PICTURE, PICTURE]).all_images) == 2


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
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as caught:
        edit(**fields)
    assert (caught.value.param or "").partition(".")[0] == param


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, set()),
        ({"quality": "auto", "background": "opaque", "output_format": "png", "input_fidelity": "low"}, set()),
        ({"mask": PICTURE, "strength": 0.0}, {"mask", "strength"}),
        ({"image": [PICTURE, PICTURE]}, {"images"}),
        ({"markup": PICTURE, "input_fidelity": "high"}, {"markup", "input_fidelity"}),
        ({"stream": True, "partial_images": 2}, {"stream", "partial_images"}),
        ({"stream": False, "partial_images": 0}, set()),
        ({"background": "transparent", "quality": "high"}, {"background", "quality"}),
        ({"output_format": "webp", "response_format": "url"}, {"output_format", "response_format"}),
        ({"svg": {"model": "x"}}, {"svg"}),
    ],
)
def test_what_an_edit_needs_of_an_engine(fields: dict[str, Any], needs: set[str]) -> None:
    assert edit(**fields).required_features() == needs


def test_a_variation_needs_no_prompt() -> None:
    request = IMAGE_VARIATION.decode("application/json", json.dumps({"image": PICTURE, "size": "256x256"}).encode())
    assert (request.prompt, request.pixels, request.required_features()) == ("", (256, 256), frozenset())


def test_the_tasks_share_their_fields() -> None:
    shared = set(IMAGE_GENERATION.request.model_fields) - {"style"}
    assert shared < set(IMAGE_EDIT.request.model_fields)
    assert shared < set(IMAGE_VARIATION.request.model_fields)


def test_fields_without_defaults_are_fields() -> None:
    for task in all_tasks().values():
        request: type[Request] = task.request
        assert request.no_defaults <= set(request.model_fields)
