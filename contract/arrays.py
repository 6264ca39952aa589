"""Numeric arrays in responses, sent as JSON, raw bytes or an npz file. Works without numpy.

An engine puts an `Array` into its response. The worker's app then picks the representation that the client accepts:
JSON (base64, or whatever `encode` returns), the raw bytes of a single array, or an npz file with every array.
"""

from __future__ import annotations

import base64
import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Literal, get_args

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

HEADER_PREFIX = "x-array-"
"""Starts the names of the response headers that describe an array sent as raw bytes."""

_NPY = {"float32": "<f4", "uint8": "|u1", "uint16": "<u2", "int32": "<i4", "int64": "<i8"}
_CODES: dict[str, Literal["f", "B", "H", "i", "q"]] = {
    "float32": "f", "uint8": "B", "uint16": "H", "int32": "i", "int64": "q",
}  # fmt: skip


class Array:
    """An n-dimensional array in C order, little-endian.

    `dtype` is numpy's name of the type (`float32`), `shape` the length of each dimension, `data` the bytes. `encode`
    turns the array into its JSON value (default: base64 of the bytes). `metadata` describes the numbers where no other
    field can, such as their `unit`: it becomes response headers beside raw bytes, and text chunks in a PNG.
    """

    __slots__ = ("data", "dtype", "encode", "metadata", "shape")

    def __init__(
        self,
        dtype: str,
        shape: tuple[int, ...],
        data: memoryview,
        encode: Callable[[Array], Any] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if data.nbytes != math.prod(shape) * struct.calcsize(_CODES[dtype]):
            raise ValueError(f"{data.nbytes} bytes do not make a {dtype} array of shape {shape}")
        self.dtype = dtype
        self.shape = shape
        self.data = data.cast("B") if data.nbytes else data
        self.encode = encode or as_base64
        self.metadata = metadata or {}

    @classmethod
    def from_numpy(
        cls, values: Any, encode: Callable[[Array], Any] | None = None, metadata: Mapping[str, str] | None = None
    ) -> Array:
        """Wrap a numpy array, or any object with `dtype`, `shape` and a buffer: little-endian, in C order."""
        return cls(str(values.dtype), tuple(int(side) for side in values.shape), memoryview(values), encode, metadata)

    @classmethod
    def from_bytes(cls, content: bytes | bytearray) -> Array:
        """Wrap the bytes of a whole file, as a one-dimensional array of uint8."""
        return cls("uint8", (len(content),), memoryview(content))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Array):
            return NotImplemented
        return (self.dtype, self.shape, self.data) == (other.dtype, other.shape, other.data)

    def __hash__(self) -> int:
        return hash((self.dtype, self.shape))

    def __repr__(self) -> str:
        return f"Array({self.dtype}, {self.shape})"

    def as_json(self) -> Any:
        """The array's value in JSON."""
        return self.encode(self)

    def headers(self) -> dict[str, str]:
        """The response headers that describe the array when its raw bytes are the body."""
        fields = {"dtype": self.dtype, "shape": ",".join(map(str, self.shape)), **self.metadata}
        return {HEADER_PREFIX + name: value for name, value in fields.items()}

    def npy(self) -> bytes:
        """The bytes of a `.npy` file, version 1.0 (numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
        shape = f"({', '.join(map(str, self.shape))}{',' if len(self.shape) == 1 else ''})"
        header = f"{{'descr': '{_NPY[self.dtype]}', 'fortran_order': False, 'shape': {shape}, }}"
        padded = header.ljust(-(-(len(header) + 11) // 64) * 64 - 11) + "\n"
        return b"".join((b"\x93NUMPY\x01\x00", struct.pack("<H", len(padded)), padded.encode(), self.data))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # A value read from JSON stays as it is: its type and shape are in other fields of the response.
        encoded = core_schema.union_schema([core_schema.str_schema(), core_schema.list_schema()])
        return core_schema.json_or_python_schema(
            json_schema=encoded,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), encoded]),
            serialization=core_schema.plain_serializer_function_ser_schema(_json_value),
        )


def _json_value(value: Any) -> Any:
    return value.as_json() if isinstance(value, Array) else value


def as_base64(array: Array) -> str:
    """Encode the array's bytes as base64."""
    return base64.b64encode(array.data).decode("ascii")


def as_list(array: Array) -> Any:
    """Encode the array as nested lists of numbers: readable, but by far the largest and slowest encoding."""
    if not array.data.nbytes:
        return []
    return array.data.cast(_CODES[array.dtype], array.shape).tolist()


def as_png(array: Array) -> str:
    """Encode the array as base64 of a PNG file whose text chunks hold the metadata.

    (height, width) of uint8 or uint16 becomes greyscale, (height, width, 3) of uint8 becomes RGB.
    """
    from PIL import Image, PngImagePlugin

    height, width = array.shape[:2]
    mode = {("uint8", 2): "L", ("uint16", 2): "I;16", ("uint8", 3): "RGB"}[array.dtype, len(array.shape)]
    text = PngImagePlugin.PngInfo()
    for key, value in array.metadata.items():
        text.add_text(key, value)
    buffer = io.BytesIO()
    # Level 1 gives slightly larger files than the default 6, several times faster.
    Image.frombuffer(mode, (width, height), array.data, "raw", mode, 0, 1).save(
        buffer, "PNG", pnginfo=text, compress_level=1
    )
    return base64.b64encode(buffer.getbuffer()).decode("ascii")


@cache
def holds_arrays(response: type[BaseModel]) -> bool:
    """Whether responses of this type may contain arrays."""
    return any(_may_hold(field.annotation) for field in response.model_fields.values())


def _may_hold(annotation: Any) -> bool:
    if annotation is Array:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return holds_arrays(annotation)
    return any(_may_hold(part) for part in get_args(annotation))


def arrays_in(response: BaseModel) -> dict[str, Array]:
    """Every array of a response, by its field path without `data`, such as `0.depth` or `1.pooled`."""
    return {".".join(step for step in path if step != "data"): array for path, array in _walk(response, ())}


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Array]]:
    if isinstance(value, Array):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name), (*path, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, str(index)))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, (*path, str(key)))


def npz(response: BaseModel) -> bytes:
    """An npz file for `numpy.load`, with the response's arrays by name and everything else in `answer.json`.

    In `answer.json`, each array is replaced by its name.
    """
    arrays = arrays_in(response)
    names = {id(array): name for name, array in arrays.items()}
    encoders = {name: array.encode for name, array in arrays.items()}
    try:
        for array in arrays.values():
            array.encode = lambda array: names[id(array)]
        rest = response.model_dump_json()
    finally:
        for name, array in arrays.items():
            array.encode = encoders[name]
    return pack_npz(arrays, {"answer.json": rest})


def pack_npz(arrays: Mapping[str, Array], texts: Mapping[str, str] | None = None) -> bytes:
    """An npz file with these arrays, plus text files under their given names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # a model's numbers hardly compress
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", array.npy())
        for name, text in (texts or {}).items():
            archive.writestr(name, text)
    return buffer.getvalue()
