"""Audio inputs of requests: an upload in a form, or base64 in JSON. Only a worker decodes what is in them."""

from __future__ import annotations

import binascii
from functools import cache
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from contract.media import as_base64, base64_pieces


class AudioInput:
    """One audio file as the client sent it: `value` is base64, a data URI, or the bytes of an upload."""

    __slots__ = ("value",)

    def __init__(self, value: str | bytes) -> None:
        self.value = value

    def read(self) -> bytes:
        """The file's bytes. Raises ValueError if the base64 is invalid."""
        if isinstance(self.value, bytes):
            return self.value
        if self.value[:8].lower().startswith(("http://", "https://")):
            raise ValueError("recordings at addresses are not fetched. Send the file itself")
        start = self.value.find(",", 0, 256) + 1 if self.value[:5].lower() == "data:" else 0
        try:
            return b"".join(base64_pieces(self.value, start))
        except binascii.Error as error:
            raise ValueError(f"the base64 is invalid: {error}. Encode the whole file again") from None

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
        message = "send a form with an audio file that is not empty, or, in JSON, the file as base64"
        return core_schema.custom_error_schema(schema, "audio", custom_error_message=message)

    @classmethod
    def _from_python(cls, value: Any) -> AudioInput:
        if isinstance(value, cls):
            return value
        if not (isinstance(value, str | bytes) and value):
            raise ValueError("neither a text nor a file")
        return cls(value)

    def as_text(self) -> str:
        """The value in JSON: text unchanged, an upload as base64."""
        return self.value if isinstance(self.value, str) else as_base64(self.value)


@cache
def audio_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a request that hold audio."""
    return tuple(name for name, field in model.model_fields.items() if field.annotation is AudioInput)
