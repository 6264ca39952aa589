"""The form in which a whole answer goes out: JSON, one array's raw bytes, or an npz file, as `Accept` says."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel

from contract.arrays import arrays_in, npz
from contract.errors import NotAcceptable

JSON, BYTES, NPZ = "application/json", "application/octet-stream", "application/x-npz"

Header = tuple[bytes, bytes]
ResponseWriter = Callable[[BaseModel], tuple[list[Header], bytes]]
"""Makes of an answer its own headers, the content type among them, and its body."""


def wanted(accept: str | None) -> ResponseWriter:
    """The form that an `Accept` header prefers. What names none of the three means JSON, as in most of the web."""
    ranges = [_range(part) for part in (accept or "").lower().split(",")]
    ranges.sort(key=lambda item: item[1], reverse=True)  # stable: of two that are liked alike the first is taken
    chosen = next((kind for kind, quality in ranges if quality > 0 and kind in _FORMS), JSON)
    return _FORMS[chosen]


def _range(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip() for piece in part.split(";"))
    quality = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
    try:
        return kind, float(quality)
    except ValueError:
        return kind, 0.0


def as_json(answer: BaseModel) -> tuple[list[Header], bytes]:
    """The whole answer as JSON."""
    return [_type(JSON)], answer.model_dump_json().encode()


def _as_bytes(answer: BaseModel) -> tuple[list[Header], bytes]:
    """The one array of an answer. Raises NotAcceptable when there are more, or none."""
    arrays = arrays_in(answer)
    if len(arrays) != 1:
        names = ", ".join(arrays) or "none"
        raise NotAcceptable(
            f"{BYTES} is the form of exactly one array, and this answer holds {len(arrays)} ({names}). Ask with "
            f"`Accept: {NPZ}` for all in one file, for JSON, or for less in the request.",
            details={"arrays": {name: list(array.shape) for name, array in arrays.items()}},
        )
    [array] = arrays.values()
    told = {"dtype": array.dtype, "shape": ",".join(map(str, array.shape)), **array.metadata}
    headers = [(f"x-array-{key}".encode(), value.encode()) for key, value in told.items()]
    return [_type(BYTES), *headers], bytes(array.data)


def _as_npz(answer: BaseModel) -> tuple[list[Header], bytes]:
    return [_type(NPZ)], npz(answer)


def _type(kind: str) -> Header:
    return b"content-type", kind.encode()


_FORMS: dict[str, ResponseWriter] = {
    JSON: as_json,
    "*/*": as_json,
    "application/*": as_json,
    BYTES: _as_bytes,
    NPZ: _as_npz,
}
