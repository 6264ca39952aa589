"""Files in requests: uploads in a form, or base64 in JSON, which is decoded and encoded in steps."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from contract.long_texts import joined

WINDOW = 2**20
"""Characters that are checked at a time; other threads run in between."""


class Upload:
    """One file as the client sent it: `value` is text, or the bytes of an upload.

    A subclass says what is `expected`: the type of its validation error, and its sentence.
    """

    __slots__ = ("value",)
    expected: ClassVar[tuple[str, str]]

    def __init__(self, value: str | bytes) -> None:
        self.value = value

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema(min_length=1))
        # In Python, because the library would read each upload as text, too.
        either = core_schema.no_info_plain_validator_function(cls._from_python)
        schema = core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=either,
            serialization=core_schema.plain_serializer_function_ser_schema(cls.as_text),
        )
        kind, sentence = cls.expected
        return core_schema.custom_error_schema(schema, kind, custom_error_message=sentence)

    @classmethod
    def _from_python(cls, value: Any) -> Self:
        if isinstance(value, cls):
            return value
        if not (isinstance(value, str | bytes) and value):
            raise ValueError("neither a text nor a file")
        return cls(value)

    def as_text(self) -> str:
        """The value in JSON: text unchanged, an upload as base64."""
        return self.value if isinstance(self.value, str) else as_base64(self.value)


def base64_pieces(text: str, position: int) -> Iterator[bytes]:
    """What base64 from `position` on encodes, decoded in windows, between which other threads run."""
    rest, size = "", WINDOW // 4
    while position < len(text) - size:
        window = rest + "".join(text[position : position + size].split())
        position += size
        whole = len(window) // 4 * 4
        yield base64.b64decode(window[:whole], validate=False)
        rest = window[whole:]
    last = "".join((rest + text[position:]).split())
    missing = -len(last) % 4
    yield base64.b64decode(last + "=" * (missing if missing < 3 else 0), validate=False)


def as_base64(content: bytes) -> str:
    """The bytes as base64, encoded in windows, between which other threads run."""
    size = WINDOW // 4 * 3
    windows = (content[start : start + size] for start in range(0, len(content), size))
    return joined(base64.b64encode(window).decode() for window in windows)
