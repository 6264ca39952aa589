"""Applies the colour profile of an image, so that its pixels are sRGB, which models and screens expect.

Phones save photographs in Display P3, printers work in CMYK. Profiles are those of the International Color Consortium
(ICC.1:2022), read by Little CMS.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from contract import coded_colours

if TYPE_CHECKING:
    from PIL import Image, ImageCms

IGNORED = "ignored colour profile"
"""The key in an image's `info` for the sentence that says why its profile was ignored."""
MAX_PROFILE_BYTES = 16 * 2**20
MAX_TAGS = 100
_HEADER, _TAG = 128, 12
_DEVICES = {"scnr", "mntr", "prtr", "spac"}
"""The classes of profiles for the colours of images: scanners and cameras, monitors, printers, colour spaces."""
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_SAME = 1
"""Profiles that change no colour by more than this are those of sRGB, and cost no time."""


def in_srgb(pixels: Image.Image, image: Image.Image) -> Image.Image:
    """Pixels in mode L, RGB or CMYK as RGB, by the profile of the image that they are from.

    A profile that is damaged, or for other colours, is ignored: `image.info[IGNORED]` then says so.
    """
    from PIL import ImageCms

    profile = image.info.get("icc_profile") or coded_colours.profile_of(image.info)
    if not profile:
        if problem := coded_colours.problem_of(image.info):
            image.info[IGNORED] = problem
        return pixels.convert("RGB")
    try:
        space = _space(profile)
        if pixels.mode == "L" and space == "RGB":  # greys saved by programs that use one profile for all images
            pixels = pixels.convert("RGB")
        if space != pixels.mode:
            raise ValueError(f"it is for {space} and the pixels are {pixels.mode}")
        transform = _transform(profile, space)
    except (ValueError, OSError, ImageCms.PyCMSError) as error:
        image.info[IGNORED] = f"The image's colour profile is ignored: {error}. Colours may differ slightly."
        return pixels.convert("RGB")
    return transform.apply(pixels) if transform else pixels.convert("RGB")


def _space(profile: bytes) -> str:
    """The mode of the pixels that a profile is for. Raises ValueError for one that is damaged or takes too long.

    Little CMS reads elements of the type `mpet` as often as a profile refers to them, which takes minutes for hostile
    ones; cameras and printers do not use them.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        raise ValueError(f"it has more than {MAX_PROFILE_BYTES >> 20} MiB")
    if len(profile) < _HEADER + 4 or profile[36:40] != b"acsp":
        raise ValueError("it is damaged")
    [tags] = struct.unpack_from(">I", profile, _HEADER)
    if tags > MAX_TAGS or _HEADER + 4 + tags * _TAG > len(profile):
        raise ValueError("it is damaged")
    for _, start, size in struct.iter_unpack(">4sII", profile[_HEADER + 4 : _HEADER + 4 + tags * _TAG]):
        if start + size > len(profile):
            raise ValueError("it is cut off")
        if profile[start : start + 4] == b"mpet":
            raise ValueError("it has multi-process elements")
    device, space = (profile[at : at + 4].decode("latin-1") for at in (12, 16))
    if device not in _DEVICES or space not in _SPACES:
        raise ValueError(f"it is of the class {device.strip()!r}, for {space.strip()!r}")
    return _SPACES[space]


@lru_cache(maxsize=4)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile's pixels to sRGB; None if they are sRGB. Raises PyCMSError or OSError for a damaged profile."""
    from PIL import Image, ImageChops, ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    if mode != "RGB":
        return transform
    steps = (*range(0, 255, 32), 255)
    cube = bytes(value for red in steps for green in steps for blue in steps for value in (red, green, blue))
    sample = Image.frombytes("RGB", (len(cube) // 3, 1), cube)
    extrema = ImageChops.difference(sample, transform.apply(sample)).getextrema()
    return transform if max(high for _, high in extrema) > _SAME else None
