"""Pictures as people have them, which are the rows of the tables in docs/vision.md: read as they look, or refused."""

from __future__ import annotations

import base64

import pytest
from PIL import Image, ImageChops, ImageStat

from contract.errors import BadImage
from contract.image_loading import image_size, open_image
from contract.media import ImageInput, images_in
from contract.tasks.chat import ChatRequest
from contract.tasks.embeddings import EmbeddingsRequest
from scripts.testbed.picture_forms import PARTS, TEXTS, PicturePart, PictureText
from scripts.testbed.pictures import FILES, SIZE, PictureFile, as_base64, file

READ = [picture for picture in FILES if not picture.refusal]
REFUSED = [picture for picture in FILES if picture.refusal]


def kind(row: PictureFile | PictureText) -> str:
    return row.kind


@pytest.mark.parametrize("picture", READ, ids=kind)
def test_reads_a_file_as_it_looks_on_a_white_page(picture: PictureFile) -> None:
    source = ImageInput(picture.content())
    source.check()
    opened, plain = open_image(source), picture.plain()
    assert image_size(source) == opened.size == SIZE
    differences = ImageStat.Stat(ImageChops.difference(opened, plain)).mean
    assert max(differences) <= picture.tolerance


@pytest.mark.parametrize("picture", REFUSED, ids=kind)
def test_refuses_a_file_as_what_it_is(picture: PictureFile) -> None:
    source = ImageInput(as_base64(picture.content()))
    with pytest.raises(BadImage, match=picture.refusal):
        open_image(source)


def scan() -> str:
    """Base64 of an image that has all kinds of characters, and padding."""
    content = file(Image.frombytes("RGB", (8, 9), bytes(range(216))), "PNG") + b"\xfb\xef\xff" * 2
    text = as_base64(content + bytes(-len(content) % 3 + 1))
    assert {"+", "/"} <= set(text)
    assert text.endswith("=")
    return text


@pytest.mark.parametrize("form", TEXTS, ids=kind)
def test_every_text_is_the_same_file(form: PictureText) -> None:
    image = ImageInput(form.text(scan()))
    image.check()
    assert image.read() == base64.b64decode(scan())


@pytest.mark.parametrize("part", PARTS, ids=lambda part: " ".join(part.part("")))
def test_every_part_of_a_message_is_an_image(part: PicturePart) -> None:
    sent = part.part(f"data:image/png;base64,{scan()}")
    chat = ChatRequest.model_validate({"messages": [{"role": "user", "content": [sent]}]})
    vectors = EmbeddingsRequest.model_validate({"input": [sent]})
    for request in (chat, vectors):
        [image] = images_in(request)
        assert image.read() == base64.b64decode(scan())
    again = ChatRequest.model_validate_json(chat.model_dump_json())
    assert [image.read() for image in images_in(again)] == [base64.b64decode(scan())]


@pytest.mark.parametrize("part", [{"type": "image"}, {"type": "image", "source": {"type": "file", "file_id": "f"}}])
def test_an_image_part_without_an_image_names_both_spellings(part: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r'"type": "image_url".* as in Anthropic\'s API'):
        ChatRequest.model_validate({"messages": [{"role": "user", "content": [part]}]})
