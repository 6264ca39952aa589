"""Image files as people have them.

The tests try each of them, and a table in docs/vision.md is made from them.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, PngImagePlugin

from scripts.testbed.colour_profiles import P3_POINTS, converted, dark_greys, display_p3, inks, png_chunks, srgb

SIZE = (64, 48)


@dataclass(frozen=True)
class ImageFile:
    """A file; `refusal` is what the error calls it, and empty if it is read. `plain` is what it looks like."""

    kind: str
    content: Callable[[], bytes]
    plain: Callable[[], Image.Image]
    refusal: str = ""
    tolerance: int = 2
    """The most by which a pixel's colour may differ from `plain`, on average."""


def drawing() -> Image.Image:
    """Red, green and blue fields on white, in RGB."""
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    for number, colour in enumerate([(255, 0, 0), (0, 128, 0), (0, 0, 255)]):
        draw.rectangle((16 * number + 8, 8, 16 * number + 21, 39), fill=colour)
    return image


def grey() -> Image.Image:
    """The drawing in greys, as RGB."""
    return drawing().convert("L").convert("RGB")


def bilevel() -> Image.Image:
    """The drawing in black and white, as RGB."""
    return drawing().convert("1", dither=Image.Dither.NONE).convert("RGB")


def file(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """The image as a file."""
    content = io.BytesIO()
    image.save(content, file_format, **options)
    return content.getvalue()


def heic(image: Image.Image, **options: Any) -> bytes:
    """The image as a phone saves it."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    return file(image, "HEIF", quality=95, **options)


def tiff(values: bytes, bits: int, number: int, colours: int = 1, **tags: int) -> bytes:
    """A TIFF file of little-endian values. `number` is 1 for unsigned integers, 2 for signed ones, 3 for floats.

    `tags` are other numbers of tags with one value each, such as `t284=2` for a plane for each colour.
    """
    width, height = SIZE
    entries = {256: width, 257: height, 259: 1, 262: 2 if colours > 2 else 1, 277: colours, 278: height, 284: 1}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    planes = colours if entries[284] == 2 else 1
    lists = {258: [bits] * colours, 339: [number] * colours}
    size = len(values) // planes
    lists |= {273: [8 + size * plane for plane in range(planes)], 279: [size] * planes}
    lists |= {tag: [value] for tag, value in entries.items()}
    rows, more, at = [], b"", 8 + len(values)
    for tag, numbers in sorted(lists.items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        place = packed if len(packed) == 4 else struct.pack("<I", at + len(more))
        more += packed if len(packed) > 4 else b""
        rows.append(struct.pack("<HHI", tag, 4, len(numbers)) + place)
    directory = struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4)
    return b"II*\0" + struct.pack("<I", at + len(more)) + values + more + directory


def deep(letter: str, white: float) -> bytes:
    """The greys of the drawing from 0 to `white`, as numbers of struct's type `letter`."""
    whole = letter not in "fd"
    values = [value / 255 * white for value in drawing().convert("L").tobytes()]
    return struct.pack(f"<{len(values)}{letter}", *(map(round, values) if whole else values))


def deep_png(transparency: int | None = None) -> bytes:
    """The greys of the drawing as a PNG of 16 bits."""
    options = {} if transparency is None else {"transparency": transparency}
    return file(Image.frombytes("I;16", SIZE, deep("H", 65535)), "PNG", **options)


def with_alpha(image: Image.Image) -> Image.Image:
    """The image with its white transparent, and black there."""
    alpha = Image.eval(image.convert("L"), lambda value: 0 if value == 255 else 255)
    black = Image.composite(image, Image.new(image.mode, image.size), alpha)
    black.putalpha(alpha)
    return black


def palette() -> bytes:
    """A PNG with a palette, whose white is transparent and grey beneath."""
    image = drawing().quantize(4)
    white = image.getpixel((0, 0))
    colours = image.getpalette() or []
    colours[3 * white : 3 * white + 3] = [90, 90, 90]
    image.putpalette(colours)
    return file(image, "PNG", transparency=white)


def sideways() -> bytes:
    """A photograph with a camera on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return file(drawing().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95, subsampling=0)


def animated(file_format: str) -> bytes:
    """The drawing, followed by another image."""
    later = [Image.new("RGB", SIZE, "black")]
    return file(drawing(), file_format, save_all=True, append_images=later, lossless=True)


def deep_colours() -> bytes:
    """A PNG with 16 bits for each colour."""
    width, height = SIZE
    rows = [drawing().crop((0, y, width, y + 1)).tobytes() for y in range(height)]
    pixels = b"".join(b"\0" + bytes(byte for value in row for byte in (value, value)) for row in rows)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(pixels)),
        (b"IEND", b""),
    ):
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return content


def _planes() -> bytes:
    planes = (channel.tobytes() for channel in drawing().split())
    return b"".join(struct.pack(f"<{len(plane)}H", *(value * 257 for value in plane)) for plane in planes)


def _png() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "as programs write them")
    return file(drawing(), "PNG", pnginfo=text)


def in_display_p3() -> Image.Image:
    """The drawing in the colours of Display P3."""
    return converted(drawing(), srgb(), display_p3())


def with_profile(file_format: str, mode: str, profile: bytes, **options: Any) -> ImageFile:
    """A file in some mode with a colour profile, which says what the drawing's values mean."""
    image = drawing().convert(mode)
    space = {"L": "greys", "CMYK": "CMYK"}[mode]
    return ImageFile(
        f"{file_format}, {space} with a colour profile",
        lambda: file(image, file_format, icc_profile=profile, **options),
        lambda: converted(image, profile),
        tolerance=6,
    )


JPEG: dict[str, Any] = {"quality": 95, "subsampling": 0}
P3: dict[str, Any] = {"icc_profile": display_p3()}
P3_CHUNKS = png_chunks(1 / 2.2, P3_POINTS)

FILES = (
    ImageFile("PNG", _png, drawing),
    ImageFile("PNG, 16 bits a colour", deep_colours, drawing),
    ImageFile("PNG, 16-bit greys", deep_png, grey),
    ImageFile("PNG, 16-bit greys, white transparent", lambda: deep_png(65535), grey),
    ImageFile("PNG, a palette with a transparent colour", palette, drawing),
    ImageFile("PNG, 1 bit", lambda: file(drawing().convert("1", dither=Image.Dither.NONE), "PNG"), bilevel),
    ImageFile("PNG with alpha", lambda: file(with_alpha(drawing()), "PNG"), drawing),
    ImageFile("PNG with alpha, Display P3", lambda: file(with_alpha(in_display_p3()), "PNG", **P3), drawing),
    ImageFile("PNG, linear light (`gAMA`)", lambda: file(_linear(), "PNG", pnginfo=png_chunks(1)), drawing),
    ImageFile("PNG, Display P3 (`gAMA` and `cHRM`)", lambda: file(in_display_p3(), "PNG", pnginfo=P3_CHUNKS), drawing),
    ImageFile("PNG, greys with alpha", lambda: file(with_alpha(drawing().convert("L")), "PNG"), grey),
    ImageFile("PNG, animated: the first frame", lambda: animated("PNG"), drawing),
    ImageFile("JPEG", lambda: file(drawing(), "JPEG", **JPEG), drawing, tolerance=6),
    ImageFile("JPEG with EXIF orientation", sideways, drawing, tolerance=6),
    ImageFile("JPEG, CMYK", lambda: file(drawing().convert("CMYK"), "JPEG", **JPEG), drawing, tolerance=6),
    with_profile("JPEG", "CMYK", inks(), **JPEG),
    with_profile("JPEG", "L", dark_greys(), **JPEG),
    ImageFile("JPEG, Display P3", lambda: file(in_display_p3(), "JPEG", **JPEG, **P3), drawing, tolerance=6),
    ImageFile("JPEG, progressive", lambda: file(drawing(), "JPEG", progressive=True, **JPEG), drawing, tolerance=6),
    ImageFile("JPEG without its end marker", lambda: file(drawing(), "JPEG", **JPEG)[:-2], drawing, tolerance=6),
    ImageFile("HEIC", lambda: heic(drawing()), drawing, tolerance=12),
    ImageFile("HEIC, Display P3, as phones make them", lambda: heic(in_display_p3(), **P3), drawing, tolerance=12),
    ImageFile("HEIC in tiles", lambda: heic(drawing(), tile_size=32), drawing, tolerance=12),
    ImageFile("HEIC with alpha", lambda: heic(with_alpha(drawing())), drawing, tolerance=12),
    ImageFile("AVIF, Display P3", lambda: file(in_display_p3(), "AVIF", quality=95, **P3), drawing, tolerance=12),
    ImageFile("AVIF", lambda: file(drawing(), "AVIF", quality=95, subsampling="4:4:4"), drawing, tolerance=6),
    ImageFile("WebP", lambda: file(drawing(), "WEBP", lossless=True), drawing),
    ImageFile("WebP, Display P3", lambda: file(in_display_p3(), "WEBP", lossless=True, **P3), drawing),
    ImageFile("WebP with alpha", lambda: file(with_alpha(drawing()), "WEBP", lossless=True), drawing),
    ImageFile("WebP, animated: the first frame", lambda: animated("WEBP"), drawing),
    ImageFile("GIF", lambda: file(drawing(), "GIF"), drawing),
    ImageFile("BMP", lambda: file(drawing(), "BMP"), drawing),
    ImageFile("TIFF", lambda: file(drawing(), "TIFF", compression="tiff_lzw"), drawing),
    ImageFile("TIFF, CMYK", lambda: file(drawing().convert("CMYK"), "TIFF"), drawing),
    with_profile("TIFF", "CMYK", inks()),
    ImageFile("TIFF, 16-bit greys", lambda: tiff(deep("H", 65535), 16, 1), grey),
    ImageFile("TIFF, 16-bit greys, white is 0", lambda: tiff(_inverted(), 16, 1, t262=0), grey),
    ImageFile("TIFF, 32-bit floats from 0 to 1", lambda: tiff(deep("f", 1), 32, 3), grey),
    ImageFile("TIFF, 32-bit floats from 0 to 255", lambda: tiff(deep("f", 255), 32, 3), grey),
    ImageFile("TIFF, 32-bit floats from 0 to 65535", lambda: tiff(deep("f", 65535), 32, 3), grey),
    ImageFile(
        "TIFF, 64-bit floats", lambda: tiff(deep("d", 1), 64, 3), grey, "a TIFF file of 64-bit floating-point numbers"
    ),
    ImageFile(
        "TIFF, planes of 16 bits", lambda: tiff(_planes(), 16, 1, 3, t284=2), drawing, "a TIFF with a plane of 16 bits"
    ),
    ImageFile("TIFF, Lab colours", lambda: file(Image.new("LAB", SIZE), "TIFF"), drawing, "Lab colours"),
    ImageFile(
        "SVG", lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', drawing, "an SVG drawing"
    ),
    ImageFile("PDF", lambda: b"%PDF-1.7\n", drawing, "a PDF document"),
    ImageFile("EPS, PostScript", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", drawing, "an EPS or PostScript file"),
    ImageFile("HTML", lambda: b"\xef\xbb\xbf<!DOCTYPE html><html>", drawing, "a web page"),
    ImageFile("other formats", lambda: file(drawing(), "TGA"), drawing, "damaged or its format is unknown"),
)


def _linear() -> Image.Image:
    """The drawing as a renderer computes it: twice the number is twice the light."""
    return drawing().point(lambda value: round(255 * ((value / 255 + 0.055) / 1.055) ** 2.4))


def _inverted() -> bytes:
    return struct.pack("<3072H", *(65535 - value for value in struct.unpack("<3072H", deep("H", 65535))))


def as_base64(content: bytes) -> str:
    """The file as base64."""
    return base64.b64encode(content).decode()
