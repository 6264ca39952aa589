"""Chooses a response's format from the `Accept` header: JSON, the raw bytes of one array, or an npz file."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from contract.arrays import arrays_in, npz
from contract.errors import EngineFailed, NotAcceptable
from contract.tasks import EncodedResponse

log = logging.getLogger(__name__)

JSON, BYTES, NPZ = "application/json", "application/octet-stream", "application/x-npz"

Header = tuple[bytes, bytes]
ResponseWriter = Callable[[BaseModel], tuple[list[Header], bytes]]
"""Turns a response into its headers, content type included, and its body."""


def writer_for(accept: str | None) -> ResponseWriter:
    """The writer for the format that an `Accept` header prefers; JSON if it names none of the three."""
    ranges = [_media_range(part) for part in (accept or "").lower().split(",")]
    ranges.sort(key=lambda item: item[1], reverse=True)  # stable: the first of two with equal quality wins
    chosen = next((media for media, quality in ranges if quality > 0 and media in _WRITERS), JSON)
    return _WRITERS[chosen]


def _media_range(part: str) -> tuple[str, float]:
    """One part of an `Accept` header: the media type and its quality, 0 if that is not a number."""
    media, *parameters = (piece.strip() for piece in part.split(";"))
    quality = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
    try:
        return media, float(quality)
    except ValueError:
        return media, 0.0


def to_json(answer: BaseModel) -> bytes:
    """An answer, or a chunk of one, as JSON. Raises EngineFailed for what an engine must not return as an answer."""
    if not isinstance(answer, BaseModel):
        kind = type(answer).__name__
        raise EngineFailed(f"The engine made an answer that is not valid: it is of the type {kind}, not a response.")
    try:
        return answer.model_dump_json().encode()
    except PydanticSerializationError as error:
        log.exception("an answer cannot be written as JSON")
        message = "The engine made an answer that cannot be written as JSON. The worker's log has the details."
        raise EngineFailed(message) from error


def as_json(response: BaseModel) -> tuple[list[Header], bytes]:
    """The whole response as JSON."""
    return [_content_type(JSON)], to_json(response)


def as_it_is(response: EncodedResponse) -> tuple[list[Header], bytes]:
    """A response in the format that its request asked for; its warnings are in a header."""
    return [_content_type(response.media_type), *_warnings(response)], response.content


def _as_bytes(response: BaseModel) -> tuple[list[Header], bytes]:
    """The response's only array. Raises NotAcceptable if it has several, or none."""
    arrays = arrays_in(response)
    if len(arrays) != 1:
        names = ", ".join(arrays) or "none"
        raise NotAcceptable(
            f"{BYTES} holds exactly one array, and this response has {len(arrays)} ({names}). Send `Accept: {NPZ}` for "
            "all of them in one file, ask for JSON, or request fewer arrays.",
            details={"arrays": {name: list(array.shape) for name, array in arrays.items()}},
        )
    [array] = arrays.values()
    headers = [(name.encode(), value.encode()) for name, value in array.headers().items()]
    return [_content_type(BYTES), *headers, *_warnings(response)], bytes(array.data)


def _as_npz(response: BaseModel) -> tuple[list[Header], bytes]:
    return [_content_type(NPZ), *_warnings(response)], npz(response)


def _warnings(response: BaseModel) -> list[Header]:
    """The response's warnings as a header, for formats that have no place for them."""
    warnings = getattr(response, "warnings", None)
    return [(b"x-enginehouse-warnings", json.dumps(warnings).encode())] if warnings else []


def _content_type(media: str) -> Header:
    return b"content-type", media.encode()


_WRITERS: dict[str, ResponseWriter] = {
    JSON: as_json,
    "*/*": as_json,
    "application/*": as_json,
    BYTES: _as_bytes,
    NPZ: _as_npz,
}
