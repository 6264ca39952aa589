"""Audio inputs of requests: an upload in a form, or base64 in JSON. Only a worker decodes what is in them."""

from __future__ import annotations

import binascii
from functools import cache
from typing import ClassVar

from pydantic import BaseModel

from contract.uploads import Upload, base64_pieces


class AudioInput(Upload):
    """One audio file as the client sent it: `value` is base64, a data URI, or the bytes of an upload."""

    __slots__ = ()
    expected: ClassVar[tuple[str, str]] = (
        "audio",
        "send a form with an audio file that is not empty, or, in JSON, the file as base64",
    )

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


@cache
def audio_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a request that hold audio."""
    return tuple(name for name, field in model.model_fields.items() if field.annotation is AudioInput)
