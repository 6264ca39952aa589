"""Images as clients really send them, made by Pillow: each becomes upright RGB, or a helpful error."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
from PIL import Image, ImageDraw

from contract.errors import BadImage
from contract.image_loading import image_size, open_image
from contract.media import ImageInput, data_uri
from tests.support.odd_images import ODD_IMAGES, OddImage, encoded


def opened(content: bytes) -> Image.Image:
    return open_image(ImageInput(content))


def half_red(mode: str = "RGB") -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (8, 4), "blue")
    ImageDraw.Draw(image).rectangle((0, 0, 3, 3), fill="red")
    return image.convert(mode)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG"])
def test_opens_every_usual_format(file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    image = opened(encoded(half_red(), file_format, **options))
    assert (image.mode, image.size) == ("RGB", (8, 4))
    red, blue = image.getpixel((0, 0)), image.getpixel((7, 0))
    assert red[0] > 200 > red[2]
    assert blue[2] > 200 > blue[0]


@pytest.mark.parametrize("sent", ["uri", "base64", "upload"])
def test_every_encoding_gives_the_same_image(sent: str) -> None:
    content = encoded(half_red())
    value = {"uri": data_uri(content), "base64": base64.b64encode(content).decode(), "upload": content}[sent]
    assert open_image(ImageInput(value)).tobytes() == half_red().tobytes()


def test_applies_exif_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: rotate by 90 degrees clockwise
    image = opened(encoded(half_red(), "JPEG", exif=exif, quality=100))
    assert image.size == (4, 8)
    top, bottom = image.getpixel((2, 0)), image.getpixel((2, 7))
    assert top[0] > 200 > top[2]
    assert bottom[2] > 200 > bottom[0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_becomes_white(mode: str) -> None:
    image = Image.new(mode, (2, 1), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255) if mode == "RGBA" else (0, 255))
    result = opened(encoded(image))
    assert [result.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 0, 0)]


def test_half_transparent_black_is_grey() -> None:
    grey = opened(encoded(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))).getpixel((0, 0))
    assert grey == (127, 127, 127)


def test_palette_keeps_colours_and_transparency_is_white() -> None:
    image = half_red().quantize(4)
    assert image.mode == "P"
    assert opened(encoded(image)).getpixel((0, 0)) == (255, 0, 0)
    clear = image.getpixel((0, 0))
    assert opened(encoded(image, transparency=clear)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    file_format = "TIFF" if mode == "CMYK" else "PNG"
    image = opened(encoded(Image.new(mode, (2, 2), 0 if mode != "CMYK" else (0, 0, 0, 255)), file_format))
    assert (image.mode, image.getpixel((0, 0))) == ("RGB", (0, 0, 0))


@pytest.mark.parametrize(("mode", "file_format"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I;16B", "TIFF")])
def test_scales_sixteen_bit_grey(mode: str, file_format: str) -> None:
    image = Image.frombytes(mode, (3, 1), struct.pack(">3H" if mode == "I;16B" else "<3H", 0, 0x8000, 0xFFFF))
    result = opened(encoded(image, file_format))
    assert [result.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_dark_sixteen_bit_grey_stays_dark() -> None:
    assert opened(encoded(Image.new("I;16", (1, 1), 256))).getpixel((0, 0)) == (1, 1, 1)


@pytest.mark.parametrize(("value", "shown"), [(1.0, 255), (0.5, 127), (200.0, 200)])
def test_floats_range_to_1_or_to_255(value: float, shown: int) -> None:
    assert opened(encoded(Image.new("F", (1, 1), value), "TIFF")).getpixel((0, 0)) == (shown,) * 3


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_takes_the_first_frame_of_an_animation(file_format: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert opened(content).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "WEBP"])
def test_refuses_truncated_files(file_format: str) -> None:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    content = encoded(noise, file_format)
    with pytest.raises(BadImage, match="damaged"):
        opened(content[: len(content) // 2])


@pytest.mark.parametrize("content", [b"not an image at all", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_refuses_what_is_not_an_image(content: bytes) -> None:
    with pytest.raises(BadImage, match="damaged"):
        opened(content)


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_refuses_decompression_bombs_by_their_header(side: int) -> None:
    with pytest.raises(BadImage, match="64 million"):
        opened(bomb(side))


def bomb(side: int) -> bytes:
    """A PNG of a few bytes whose header claims `side` pixels of width and height."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\x00" * 1000)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_refuses_broken_base64() -> None:
    with pytest.raises(BadImage, match="base64"):
        open_image(ImageInput("data:image/png;base64,abcde"))


def test_error_names_the_refused_image() -> None:
    source = ImageInput(b"not an image at all")
    with pytest.raises(BadImage) as refused:
        open_image(source)
    assert refused.value.image is source


def test_worker_fetches_no_urls() -> None:
    with pytest.raises(BadImage, match="has not been fetched"):
        open_image(ImageInput("https://example.org/cat.png"))


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_odd_image_equals_its_plain_twin(odd: OddImage) -> None:
    image = opened(odd.content)
    assert image.size == odd.size
    assert image.tobytes() == opened(odd.plain).tobytes()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_that_of_the_upright_image(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(half_red(), file_format, exif=exif)
    assert image_size(ImageInput(content)) == opened(content).size == ((8, 4) if orientation < 5 else (4, 8))


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
def test_size_of_odd_images(odd: OddImage) -> None:
    assert image_size(ImageInput(odd.uri)) == odd.size


def test_size_reads_only_the_header() -> None:
    assert image_size(ImageInput(encoded(half_red())[:60])) == (8, 4)
    with pytest.raises(BadImage, match="damaged"):
        image_size(ImageInput(b"not an image"))
    with pytest.raises(BadImage, match="has not been fetched"):
        image_size(ImageInput("http://example.org/a.png"))
