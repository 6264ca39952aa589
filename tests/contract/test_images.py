"""Images as people have them, which are the rows of the tables in docs/vision.md: read as they look, or refused."""

from __future__ import annotations

import base64

import pytest
from PIL import Image, ImageChops, ImageStat

from contract.errors import BadImage
from contract.image_loading import image_size, open_image
from contract.media import ImageInput, images_in
from contract.tasks.chat import ChatRequest
from contract.tasks.embeddings import EmbeddingsRequest
from scripts.testbed.image_forms import PARTS, TEXTS, ImageText, MessageImage
from scripts.testbed.images import FILES, SIZE, ImageFile, as_base64, file

READ = [image for image in FILES if not image.refusal]
REFUSED = [image for image in FILES if image.refusal]


def kind(row: ImageFile | ImageText) -> str:
    return row.kind


@pytest.mark.parametrize("image", READ, ids=kind)
def test_reads_a_file_as_it_looks_on_a_white_page(image: ImageFile) -> None:
    source = ImageInput(image.content())
    source.check()
    opened, plain = open_image(source), image.plain()
    assert image_size(source) == opened.size == SIZE
    differences = ImageStat.Stat(ImageChops.difference(opened, plain)).mean
    assert max(differences) <= image.tolerance


@pytest.mark.parametrize("image", REFUSED, ids=kind)
def test_refuses_a_file_as_what_it_is(image: ImageFile) -> None:
    source = ImageInput(as_base64(image.content()))
    with pytest.raises(BadImage, match=image.refusal):
        open_image(source)


def scan() -> str:
    """Base64 of an image that has all kinds of characters, and padding."""
    content = file(Image.frombytes("RGB", (8, 9), bytes(range(216))), "PNG") + b"\xfb\xef\xff" * 2
    text = as_base64(content + bytes(-len(content) % 3 + 1))
    assert {"+", "/"} <= set(text)
    assert text.endswith("=")
    return text


@pytest.mark.parametrize("form", TEXTS, ids=kind)
def test_every_text_is_the_same_file(form: ImageText) -> None:
    image = ImageInput(form.text(scan()))
    image.check()
    assert image.read() == base64.b64decode(scan())


@pytest.mark.parametrize("part", PARTS, ids=lambda part: " ".join(part.part("")))
def test_every_part_of_a_message_is_an_image(part: MessageImage) -> None:
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
