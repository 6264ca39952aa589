"""Decoded images as they are displayed: RGB with eight bits a colour, on a white page.

Deep pixels (16 bits, 32 bits, floats) are scaled to eight bits: greys of more bits are otherwise cut off at 255, which
makes nearly all of them white.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contract.errors import BadImage

if TYPE_CHECKING:
    from PIL import Image

_WITH_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_SCALES = (255.0, 65535.0)
"""What white is in images of floats and of 32-bit integers: the first of these that no pixel exceeds."""
_INVERTED = "white is zero"
_BITS, _COMPRESSION, _PHOTOMETRIC, _PLANES, _SIGN = 258, 259, 262, 284, 339
"""Tags of TIFF. A sign of 1 is that of unsigned integers, 2 that of signed ones, 3 that of floats."""


def to_rgb(image: Image.Image) -> Image.Image:
    """The image in Pillow's RGB mode; transparency becomes white. Raises BadImage for colours in Lab."""
    if image.mode.startswith(("I", "F")):
        return _deep_to_rgb(image)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return _on_white(_with_alpha(image))
    if image.mode == "LAB":
        raise BadImage("The image has Lab colours. Send it with RGB colours, as PNG or JPEG.")
    return image.convert("RGB")


def transparent_part(image: Image.Image) -> Image.Image | None:
    """A mask in mode L: 255 where the image is fully transparent; None if that is nowhere."""
    if image.mode.startswith(("I", "F")):
        mask = _transparent_value(image)
    elif image.mode in _WITH_ALPHA or "transparency" in image.info:
        mask = _with_alpha(image).getchannel("A").point(lambda value: 255 * (value == 0))
    else:
        return None
    return mask if mask and mask.getbbox() else None


def check_pixels(image: Image.Image) -> None:
    """Raise BadImage for a TIFF that Pillow 13.0 reads wrongly, without an error; note which has to be inverted.

    It takes planes of 16 bits for planes of 8, swaps the bytes of compressed big-endian numbers twice, takes unsigned
    integers of 32 bits for signed ones, and white for black where greys of more than 8 bits have white as 0.
    """
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None:
        return
    bits, signs = max(tags.get(_BITS, (1,))), tags.get(_SIGN, (1,))
    compressed = tags.get(_COMPRESSION, 1) != 1
    image.info[_INVERTED] = bits > 8 and tags.get(_PHOTOMETRIC) == 0
    if bits > 8 and tags.get(_PLANES, 1) == 2 and not compressed:
        raise _unreadable(f"a TIFF with a plane of {bits} bits for each colour")
    if tags.prefix == b"MM" and compressed and bits > 8 and signs[0] != 1:
        raise _unreadable("a compressed TIFF of signed numbers or floats in big-endian order")
    if bits == 32 and signs[0] == 1 and image.mode == "I" and image.getextrema()[0] < 0:
        raise _unreadable("a TIFF of 32-bit numbers beyond 2,147,483,647")


def _unreadable(what: str) -> BadImage:
    return BadImage(f"The image is {what}, which is not read correctly. Send it as PNG, or with 8 bits a colour.")


def _with_alpha(image: Image.Image) -> Image.Image:
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _deep_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    shown, clear = _to_eight_bits(image), _transparent_value(image)
    if image.info.get(_INVERTED):
        shown = ImageOps.invert(shown)
    if clear:
        shown.paste(255, mask=clear)
    return shown.convert("RGB")


def _transparent_value(image: Image.Image) -> Image.Image | None:
    """A mask of the pixels whose value a PNG names as transparent; None if it names none."""
    from PIL import ImageMath

    value = image.info.get("transparency")
    if not isinstance(value, int):
        return None
    same = ImageMath.lambda_eval(lambda args: args["image"] == value, image=image.convert("I"))
    return same.point(lambda flag: flag * 255 + 0).convert("L")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Greys from 0 to 255 from 16-bit numbers, 32-bit numbers and floats."""
    deep = image.mode.startswith("I;")
    if deep:
        image = image.convert("I")  # from either byte order
    brightest = float(image.getextrema()[1])
    if image.mode == "F" and brightest <= 1:
        factor = 255.0
    elif deep:
        factor = 1 / 256
    else:
        white = next((scale for scale in _SCALES if brightest <= scale), brightest)
        factor = 255 / white
    return image.point(lambda value: value * factor + 0).convert("L")
