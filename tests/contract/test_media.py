"""Image inputs: encodings, what is rejected, and finding images in a request."""

from __future__ import annotations

import base64
import io
from urllib.parse import quote

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


SCAN = io.BytesIO()
Image.frombytes("RGB", (8, 9), bytes(range(216))).save(SCAN, "PNG")
"""An image whose base64 has all kinds of characters, and padding."""
TEXT = base64.b64encode(SCAN.getvalue() + b"\xfb\xef\xff" * 2 + b"\0" * (-len(SCAN.getvalue()) % 3 + 1)).decode()
FORMS = {
    "line breaks": "\r\n".join(TEXT[start : start + 76] for start in range(0, len(TEXT), 76)),
    "URL-safe": TEXT.replace("+", "-").replace("/", "_"),
    "without padding": TEXT.rstrip("="),
    "spaces before it": "  \n" + TEXT,
    "data URI": f"data:image/png;base64,{TEXT}",
    "spaces before a data URI": f" data:image/png;base64,{TEXT}",
    "upper case": f"DATA:IMAGE/PNG;BASE64,{TEXT}",
    "without a type": f"data:;base64,{TEXT}",
    "with a name": f"data:image/png;name=a-b_c.png;base64,{TEXT}",
    "with a quoted name": f'data:image/png;name="a, b; c.png";base64,{TEXT}',
    "with a charset": f"data:image/png;charset=utf-8;base64,{TEXT}",
    "URL-safe in a data URI": f"data:image/png;base64,{TEXT.replace('+', '-').replace('/', '_')}",
    "percent-encoded": f"data:image/png;base64,{quote(TEXT, safe='')}",
    "without padding in a data URI": f"data:image/png;base64,{TEXT.rstrip('=')}",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_base64_is_the_same_image(form: str) -> None:
    assert {"+", "/"} <= set(TEXT)
    assert TEXT.endswith("=")
    image = ImageInput(FORMS[form])
    image.check()
    assert image.read() == base64.b64decode(TEXT)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"%PDF-1.7\n", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "an EPS or PostScript file"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "an SVG drawing"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "a web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC file"),
        (b"hello", "damaged or its format is unknown"),
    ],
)
def test_other_files_are_named(content: bytes, words: str) -> None:
    with pytest.raises(BadImage, match=words):
        ImageInput(base64.b64encode(content).decode()).check()


@pytest.mark.parametrize("value", [ENCODED, f"data:image/png;base64,{ENCODED}", PNG.getvalue()])
def test_accepts_base64_data_uris_and_bytes(value: str | bytes) -> None:
    image = ImageInput(value)
    image.check()
    assert image.read() == PNG.getvalue()


@pytest.mark.parametrize("value", ["data:image/png,abc", "@@@", "aGVsbG8=", b"hello"])
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
