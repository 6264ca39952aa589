"""Image inputs: what a client may send as a picture, checked by its header before anything heavy sees it.

A picture comes as a data URI, plain base64, an `http(s)` URL or an upload. The gateway replaces URLs by data URIs,
so that a worker never fetches anything.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from contract.errors import BadImage

MAX_PIXELS = 64_000_000
"""More than this is refused: a small file can unfold into gigabytes."""

MAX_RATIO = 200
"""Of the longer side to the shorter. Scaled to the same height as others, or padded to a square, longer pictures too
unfold into gigabytes."""

_HEADER_BYTES = 256 * 1024
_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w=.+-]+)*),", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*(?:=\s*){0,2}", re.ASCII)


class ImageInput:
    """One picture as the client sent it. `value` is text (URI, base64, URL) or the bytes of an upload."""

    __slots__ = ("value",)

    def __init__(self, value: str | bytes) -> None:
        self.value = value

    @property
    def url(self) -> str | None:
        """The address, if the picture has yet to be fetched."""
        if isinstance(self.value, str) and self.value[:8].lower().startswith(("http://", "https://")):
            return self.value
        return None

    def read(self) -> bytes:
        """The file's bytes. Raises BadImage when the base64 is broken."""
        if isinstance(self.value, bytes):
            return self.value
        try:
            return base64.b64decode(self.value[self._begin() :], validate=False)
        except binascii.Error as error:
            raise BadImage(f"The image's base64 is broken: {error}. Encode the whole file again.") from None

    def check(self) -> None:
        """Refuse what cannot be a picture of bearable size, from the alphabet and the header alone.

        Raises BadImage. Costs no copy of the data, so that a body of many megabytes stays cheap.
        """
        try:
            self._check()
        except BadImage as error:
            error.image = self
            raise

    def _check(self) -> None:
        if self.url:
            return
        if isinstance(self.value, bytes):
            if not self._header_is_good(self.value[:_HEADER_BYTES]):
                self._header_is_good(self.value, final=True)
            return
        begin = self._begin()
        if len(self.value) == begin or not _BASE64.fullmatch(self.value, begin):
            raise BadImage("The image is neither base64, a data URI nor an http(s) URL. Encode the file with base64.")
        head = base64.b64decode(self.value[begin : begin + _HEADER_BYTES // 4 * 4] + "===", validate=False)
        if not self._header_is_good(head):
            self._header_is_good(self.read(), final=True)

    def _begin(self) -> int:
        """Where the base64 begins in the text."""
        assert isinstance(self.value, str)
        if not self.value.startswith("data:"):
            return 0
        match = _DATA_URI.match(self.value)
        if not match or ";base64" not in match.group(2):
            raise BadImage("The data URI must read data:image/png;base64,… (with its type, and in base64).")
        return match.end()

    @staticmethod
    def _header_is_good(head: bytes, *, final: bool = False) -> bool:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(io.BytesIO(head)) as image:
                width, height = image.size
                if image.format == "EPS":  # a program, which PIL would have run
                    raise UnidentifiedImageError
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise too_many_pixels("far too many") from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            if not final:
                return False
            raise BadImage("The image is damaged or of no known format. Send PNG, JPEG, WebP, GIF or BMP.") from error
        check_size(width, height)
        return True

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        either = core_schema.union_schema(
            [core_schema.str_schema(min_length=1), core_schema.bytes_schema(min_length=1)]
        )
        text = core_schema.no_info_after_validator_function(cls, either)
        schema = core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(cls, core_schema.str_schema(min_length=1)),
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), text]),
            serialization=core_schema.plain_serializer_function_ser_schema(cls.as_text),
        )
        what = "send a picture: a data URI, base64, an http(s) URL, or in a form a file that is not empty"
        return core_schema.custom_error_schema(schema, "picture", custom_error_message=what)

    def as_text(self) -> str:
        """The form that travels in JSON: text as it came, an upload as base64."""
        return self.value if isinstance(self.value, str) else base64.b64encode(self.value).decode()


def check_size(width: int, height: int) -> None:
    """Raises BadImage for a picture that is too large, or too long for its height."""
    if width * height > MAX_PIXELS:
        raise too_many_pixels(f"{width}x{height} ({-(-width * height // 10**6)} million)")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise BadImage(
            f"The image has {width}x{height} pixels; one side may be at most {MAX_RATIO} times as long as the other. "
            "Cut it into parts."
        )


def too_many_pixels(size: str) -> BadImage:
    """What to do about a picture with so many pixels."""
    return BadImage(f"The image has {size} pixels; at most {MAX_PIXELS // 10**6} megapixels are taken. Scale it down.")


def field_path(picture: object, value: Any) -> str | None:
    """The way to one of the pictures in a request, such as `images.2`; None where it is none of them."""
    if picture is None:
        return None
    if value is picture:
        return ""
    if isinstance(value, BaseModel):
        below: Iterable[tuple[Any, Any]] = ((name, getattr(value, name)) for name in _picture_fields(type(value)))
    else:
        below = enumerate(value) if isinstance(value, list | tuple) else ()
    found = ((step, field_path(picture, part)) for step, part in below)
    return next((f"{step}.{rest}".rstrip(".") for step, rest in found if rest is not None), None)


def images_in(value: Any) -> Iterator[ImageInput]:
    """Every picture in a request, in the order of its fields. Fields that cannot hold one are not looked at."""
    if isinstance(value, ImageInput):
        yield value
    elif isinstance(value, BaseModel):
        for name in _picture_fields(type(value)):
            yield from images_in(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            if type(item) is not str:  # there may be thousands
                yield from images_in(item)


@cache
def _picture_fields(model: type[BaseModel]) -> tuple[str, ...]:
    fields = model.model_fields.items()
    return tuple(name for name, field in fields if _may_hold_pictures(field.annotation, frozenset({model})))


def _may_hold_pictures(annotation: Any, above: frozenset[Any]) -> bool:
    """Whether a field so annotated can hold pictures, itself or in models below it; `above` ends recursion."""
    if annotation is ImageInput:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        below = (field.annotation for field in annotation.model_fields.values())
        return annotation not in above and any(_may_hold_pictures(part, above | {annotation}) for part in below)
    return any(_may_hold_pictures(part, above) for part in get_args(annotation))


def data_uri(content: bytes, media_type: str = "image/png") -> str:
    """Bytes as a data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
