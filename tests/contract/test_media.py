"""Image inputs: encodings, what is rejected, and finding images in a request."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from contract.errors import BadImage
from contract.media import ImageInput, field_path, images_in, name_bad_image
from contract.tasks.chat import ChatRequest

PNG = io.BytesIO()
Image.new("RGB", (4, 3)).save(PNG, "PNG")
ENCODED = base64.b64encode(PNG.getvalue()).decode()


def chat_about_images() -> ChatRequest:
    part = {"type": "image_url", "image_url": {"url": ENCODED}}
    message = {"role": "user", "content": [part, {"type": "text", "text": "?"}, part]}
    return ChatRequest.model_validate({"messages": [message]})


@pytest.mark.parametrize("value", [ENCODED, f"data:image/png;base64,{ENCODED}", PNG.getvalue()])
def test_accepts_base64_data_uris_and_bytes(value: str | bytes) -> None:
    image = ImageInput(value)
    image.check()
    assert image.read() == PNG.getvalue()


@pytest.mark.parametrize("value", ["data:image/png,abc", "@@@", "aGVsbG8=", "x", "data:;base64,abcde", b"hello"])
def test_rejects_what_is_not_an_image(value: str | bytes) -> None:
    with pytest.raises(BadImage):
        ImageInput(value).check()


def test_odd_data_uris_take_no_time() -> None:
    for text in ("data:" + "; " * 1000, "data:image/png" + ';"' * 1000, "data: " + " ;" * 1000, "data:;" + "=" * 2000):
        with pytest.raises(BadImage):
            ImageInput(text).check()


@pytest.mark.parametrize("size", [(201, 1), (1, 201), (60_000, 1)])
def test_rejects_extreme_aspect_ratios(size: tuple[int, int]) -> None:
    content = io.BytesIO()
    Image.new("1", size).save(content, "PNG")
    with pytest.raises(BadImage, match="at most 200 times"):
        ImageInput(content.getvalue()).check()


def test_rejects_postscript_which_is_a_program() -> None:
    with pytest.raises(BadImage, match="is a program"):
        ImageInput(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n").check()


def test_finds_images_and_their_paths_in_a_request() -> None:
    request = chat_about_images()
    images = list(images_in(request))
    assert [image.read() for image in images] == [PNG.getvalue()] * 2
    assert field_path(images[1], request) == "messages.0.content.2.image_url.url"
    assert field_path(None, request) is None


def test_bad_image_gets_its_path_as_param() -> None:
    request = chat_about_images()
    _, second = images_in(request)
    second.value = b"hello"
    with pytest.raises(BadImage) as error, name_bad_image(request):
        second.check()
    assert error.value.param == "messages.0.content.2.image_url.url"
