"""Decoded images as they are displayed: sRGB with eight bits a colour, on a white page.

Deep pixels (16 bits, 32 bits, floats) are scaled to eight bits: greys of more bits are otherwise cut off at 255, which
makes nearly all of them white.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contract.colour_profiles import in_srgb
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
    """The image in Pillow's RGB mode and sRGB colours; transparency becomes white. Raises BadImage for Lab colours."""
    from PIL import Image

    if image.mode == "LAB":
        raise BadImage("The image has Lab colours. Send it with RGB colours, as PNG or JPEG.")
    shown, alpha = in_srgb(_colours(image), image), _alpha(image)
    return Image.composite(shown, Image.new("RGB", image.size, "white"), alpha) if alpha else shown


def transparent_part(image: Image.Image) -> Image.Image | None:
    """A mask in mode L: 255 where the image is fully transparent; None if that is nowhere."""
    alpha = _alpha(image)
    mask = alpha.point(lambda value: 255 * (value == 0)) if alpha else None
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


def _is_deep(image: Image.Image) -> bool:
    return bool(image.mode.startswith(("I", "F")))


def _colours(image: Image.Image) -> Image.Image:
    """The pixels without transparency, with eight bits a colour, in mode L, RGB or CMYK."""
    from PIL import ImageOps

    if _is_deep(image):
        greys = _to_eight_bits(image)
        return ImageOps.invert(greys) if image.info.get(_INVERTED) else greys
    if image.mode in {"1", "L", "LA", "La"}:
        return image.convert("LA").getchannel("L") if image.mode == "La" else image.convert("L")
    return image if image.mode in {"RGB", "CMYK"} else image.convert("RGBA").convert("RGB")


def _alpha(image: Image.Image) -> Image.Image | None:
    """How opaque each pixel is, in mode L; None if all are."""
    if _is_deep(image):
        return _opaque_values(image)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return (image.convert("LA") if image.mode == "La" else image).convert("RGBA").getchannel("A")
    return None


def _opaque_values(image: Image.Image) -> Image.Image | None:
    """A mask without the pixels whose value a PNG names as transparent; None if it names none."""
    from PIL import ImageMath

    value = image.info.get("transparency")
    if not isinstance(value, int):
        return None
    other = ImageMath.lambda_eval(lambda args: args["image"] != value, image=image.convert("I"))
    return other.point(lambda flag: flag * 255 + 0).convert("L")


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
