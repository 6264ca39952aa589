"""Image inputs of requests, validated by their file header before anything heavy decodes them.

Clients send an image as a data URI, plain base64, an `http(s)` URL or an upload. The gateway replaces URLs with data
URIs, so that workers never fetch anything.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar, get_args
from urllib.parse import unquote

from pydantic import BaseModel

from contract.errors import BadImage
from contract.image_files import open_header, png_size, unreadable
from contract.uploads import WINDOW, Upload, as_base64, base64_pieces

MAX_PIXELS = 64_000_000
"""Larger images are rejected: a small file can decompress to gigabytes."""

MAX_RATIO = 200
"""The maximum ratio of the longer side to the shorter. Scaled to a common height or padded to a square, longer images
would also take gigabytes."""

_HEADER_BYTES = 256 * 1024
_DATA_URI = re.compile(r'data:([\w.+-]+/[\w.+-]+)?\s*+((?:;(?:"[^"]*+"|[^";,])*+)*+),', re.IGNORECASE | re.ASCII)
_OTHER_FORMS = {"-": "+", "_": "/"}
"""The characters of URL-safe base64, and what they are in the usual one."""
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*", re.ASCII)
_PADDING = re.compile(r"(?:=\s*){0,2}", re.ASCII)
_MAX_URL = 8192


class ImageInput(Upload):
    """One image as the client sent it: `value` is text (data URI, base64, URL) or the bytes of an upload."""

    __slots__ = ("warning",)
    expected: ClassVar[tuple[str, str]] = (
        "image",
        "send an image as a data URI, base64, an http(s) URL or, in a form, a file that is not empty",
    )

    def __init__(self, value: str | bytes) -> None:
        super().__init__(_with_usual_base64(value) if isinstance(value, str) else value)
        self.warning = ""
        """What was ignored when the image was opened, as a sentence; empty if nothing was."""

    @property
    def url(self) -> str | None:
        """The URL, if the image must still be fetched."""
        if isinstance(self.value, str) and self.value[:8].lower().startswith(("http://", "https://")):
            return self.value
        return None

    def read(self) -> bytes:
        """The image file's bytes. Raises BadImage when the base64 is invalid."""
        if isinstance(self.value, bytes):
            return self.value
        start = self._base64_start()
        try:
            return b"".join(base64_pieces(self.value, start))
        except binascii.Error as error:
            raise _bad_base64(error) from None

    def check(self) -> None:
        """Raise BadImage unless this looks like an image of acceptable size, judged by its encoding and file header.

        Does not copy the data, so bodies of many megabytes stay cheap.
        """
        try:
            self._check()
        except BadImage as error:
            error.image = self
            raise

    def _check(self) -> None:
        if self.url:
            if len(self.url) > _MAX_URL:
                raise BadImage(f"The image's URL has more than {_MAX_URL} characters. Send the image itself.")
            return
        if isinstance(self.value, bytes):
            if not self._header_is_valid(self.value[:_HEADER_BYTES]):
                self._header_is_valid(self.value, whole_file=True)
            return
        start = self._base64_start()
        if len(self.value) == start or not _is_base64(self.value, start):
            raise BadImage("The image is neither base64, a data URI nor an http(s) URL. Encode the file as base64.")
        try:
            head = base64.b64decode(self.value[start : start + _HEADER_BYTES // 4 * 4] + "===", validate=False)
        except binascii.Error as error:  # a text with one letter too many
            raise _bad_base64(error) from None
        if not self._header_is_valid(head):
            self._header_is_valid(self.read(), whole_file=True)

    def _base64_start(self) -> int:
        """The index in `value` at which the base64 starts."""
        assert isinstance(self.value, str)
        if not _is_data_uri(self.value):
            return 0
        match = _DATA_URI.match(self.value, 0, 1024)
        if not match or "base64" not in [part.strip() for part in match.group(2).lower().split(";")]:
            raise BadImage("The data URI must have the form data:image/png;base64,… (other image types are fine).")
        return match.end()

    @staticmethod
    def _header_is_valid(head: bytes, *, whole_file: bool = False) -> bool:
        """Whether Pillow can read the header in `head`. Raises BadImage if it cannot even with the whole file."""
        from PIL import Image

        if size := png_size(head):  # without Pillow, which would inflate the metadata
            check_size(*size)
            return True
        try:
            with open_header(head) as image:
                width, height = image.size
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise too_many_pixels("far too many") from None
        except BadImage:
            raise
        except Exception as error:  # Pillow's decoders raise all kinds of errors for damaged files
            if not whole_file:
                return False
            raise unreadable(head) from error
        check_size(width, height)
        return True


def _bad_base64(error: binascii.Error) -> BadImage:
    return BadImage(f"The image's base64 is invalid: {error}. Encode the whole file again.")


def _is_data_uri(text: str) -> bool:
    return text[:5].lower() == "data:"


def _with_usual_base64(text: str) -> str:
    """An image's text, with URL-safe or percent-encoded base64 in its usual form, and without spaces before it."""
    text = text.lstrip() if text[:1].isspace() else text
    if text[:8].lower().startswith(("http://", "https://")):
        return text
    match = _DATA_URI.match(text, 0, 1024) if _is_data_uri(text) else None
    start = match.end() if match else 0
    if text.find("%", start) >= 0:
        text = text[:start] + unquote(text[start:])
    for safe, usual in _OTHER_FORMS.items():
        if text.find(safe, start) >= 0:
            text = text[:start] + text[start:].replace(safe, usual)
    return text


def _is_base64(text: str, position: int) -> bool:
    """Whether the text from `position` on has only characters of base64."""
    while position < len(text):
        match = _BASE64.match(text, position, position + WINDOW)
        assert match is not None  # it matches the empty text
        if match.end() == position:
            break
        position = match.end()
    return _PADDING.fullmatch(text, position) is not None


def check_size(width: int, height: int) -> None:
    """Raise BadImage for an image with too many pixels, or with one side far longer than the other."""
    if not (width and height):
        raise BadImage("The image has no pixels. Send another file.")
    if width * height > MAX_PIXELS:
        raise too_many_pixels(f"{width}x{height} ({-(-width * height // 10**6)} million)")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise BadImage(
            f"The image has {width}x{height} pixels; one side may be at most {MAX_RATIO} times as long as the other. "
            "Split it into parts."
        )


def too_many_pixels(size: str) -> BadImage:
    """The error for an image with too many pixels; `size` is their number as text."""
    limit = f"at most {MAX_PIXELS // 10**6} million are accepted"
    return BadImage(f"The image has {size} pixels; {limit}. Scale it down.")


def field_path(image: object, value: Any) -> str | None:
    """The path of one of a request's images, such as `images.2`; None if the request does not contain it."""
    if image is None:
        return None
    if value is image:
        return ""
    if isinstance(value, BaseModel):
        parts: Iterable[tuple[Any, Any]] = ((name, getattr(value, name)) for name in image_fields(type(value)))
    else:
        parts = enumerate(value) if isinstance(value, list | tuple) else ()
    paths = ((step, field_path(image, part)) for step, part in parts)
    return next((f"{step}.{rest}".rstrip(".") for step, rest in paths if rest is not None), None)


def image_at(path: str | None, value: Any) -> ImageInput | None:
    """The image at a path in a request, such as `images.2`; None if there is none."""
    for step in (path or "").split("."):
        if isinstance(value, list | tuple):
            value = value[int(step)] if step.isdecimal() and int(step) < len(value) else None
        else:
            value = getattr(value, step, None) if step in getattr(type(value), "model_fields", ()) else None
    return value if isinstance(value, ImageInput) else None


@contextmanager
def name_bad_image(request: BaseModel) -> Iterator[None]:
    """Give a BadImage raised in the block the path of its image in the request as `param`, unless it has one."""
    try:
        yield
    except BadImage as error:
        error.param = error.param or field_path(error.image, request)
        raise


def images_in(value: Any) -> Iterator[ImageInput]:
    """Every image in a request, in the order of its fields. Skips fields whose type cannot hold one."""
    if isinstance(value, ImageInput):
        yield value
    elif isinstance(value, BaseModel):
        for name in image_fields(type(value)):
            yield from images_in(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            if type(item) is not str:  # skipped without a call: there may be thousands
                yield from images_in(item)


@cache
def image_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a model that can hold images, directly or in nested models."""
    fields = model.model_fields.items()
    return tuple(name for name, field in fields if _may_hold_images(field.annotation, frozenset({model})))


def _may_hold_images(annotation: Any, parents: frozenset[Any]) -> bool:
    """Whether a field of this type can hold images, directly or in nested models; `parents` stops recursion."""
    if annotation is ImageInput:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        nested = (field.annotation for field in annotation.model_fields.values())
        return annotation not in parents and any(_may_hold_images(part, parents | {annotation}) for part in nested)
    return any(_may_hold_images(part, parents) for part in get_args(annotation))


def data_uri(content: bytes, media_type: str = "image/png") -> str:
    """The bytes as a data URI."""
    return f"data:{media_type};base64,{as_base64(content)}"
