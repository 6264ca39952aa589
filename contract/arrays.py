"""Arrays in answers: how numbers travel, as JSON, as raw bytes or as an npz file. No numpy is needed.

An engine puts an `Array` into its response, and whoever sends the answer chooses the form: base64 (or what `show` makes
of it) within JSON, the bytes alone, or one npz file with every array of the answer.
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

_NPY = {"float32": "<f4", "uint8": "|u1", "uint16": "<u2", "int32": "<i4", "int64": "<i8"}
_CODES: dict[str, Literal["f", "B", "H", "i", "q"]] = {
    "float32": "f", "uint8": "B", "uint16": "H", "int32": "i", "int64": "q",
}  # fmt: skip


class Array:
    """Numbers of one type in C order, little-endian.

    `dtype` is a name as numpy has it (`float32`), `shape` any number of lengths, `data` the bytes; `show` makes the
    form that stands in JSON: base64 of the bytes, unless something else is wanted. `notes` are what one must know to
    read the numbers where nothing stands beside them, such as their `unit`.
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
            raise ValueError(f"{data.nbytes} bytes are not an array of {dtype} with shape {shape}")
        self.dtype = dtype
        self.shape = shape
        self.data = data.cast("B") if data.nbytes else data
        self.encode = encode or as_base64
        self.metadata = metadata or {}

    @classmethod
    def from_numpy(
        cls, values: Any, encode: Callable[[Array], Any] | None = None, metadata: Mapping[str, str] | None = None
    ) -> Array:
        """Of a numpy array, or anything with its `dtype`, `shape` and buffer: little-endian and in C order."""
        return cls(str(values.dtype), tuple(int(side) for side in values.shape), memoryview(values), encode, metadata)

    @classmethod
    def from_bytes(cls, content: bytes | bytearray) -> Array:
        """A whole file: its bytes, as uint8."""
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
        """The form that stands in JSON."""
        return self.encode(self)

    def npy(self) -> bytes:
        """The bytes of a `.npy` file, version 1.0 (numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
        shape = f"({', '.join(map(str, self.shape))}{',' if len(self.shape) == 1 else ''})"
        header = f"{{'descr': '{_NPY[self.dtype]}', 'fortran_order': False, 'shape': {shape}, }}"
        padded = header.ljust(-(-(len(header) + 11) // 64) * 64 - 11) + "\n"
        return b"".join((b"\x93NUMPY\x01\x00", struct.pack("<H", len(padded)), padded.encode(), self.data))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # What has travelled as JSON stays as it came: its type and shape stand beside it, in other fields.
        shown = core_schema.union_schema([core_schema.str_schema(), core_schema.list_schema()])
        return core_schema.json_or_python_schema(
            json_schema=shown,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), shown]),
            serialization=core_schema.plain_serializer_function_ser_schema(_plain),
        )


def _plain(value: Any) -> Any:
    return value.as_json() if isinstance(value, Array) else value


def as_base64(array: Array) -> str:
    """Base64 of the bytes."""
    return base64.b64encode(array.data).decode("ascii")


def as_list(array: Array) -> Any:
    """Nested lists of numbers: easy to read, and by far the largest and slowest form."""
    if not array.data.nbytes:
        return []
    return array.data.cast(_CODES[array.dtype], array.shape).tolist()


def as_png(array: Array) -> str:
    """Base64 of a PNG file, its metadata the notes: (h, w) of uint8 or uint16 is grey, (h, w, 3) of uint8 colours."""
    from PIL import Image, PngImagePlugin

    height, width = array.shape[:2]
    mode = {("uint8", 2): "L", ("uint16", 2): "I;16", ("uint8", 3): "RGB"}[array.dtype, len(array.shape)]
    told = PngImagePlugin.PngInfo()
    for key, value in array.metadata.items():
        told.add_text(key, value)
    buffer = io.BytesIO()
    # Level 1 makes files a little larger than 6 and is several times faster.
    Image.frombuffer(mode, (width, height), array.data, "raw", mode, 0, 1).save(
        buffer, "PNG", pnginfo=told, compress_level=1
    )
    return base64.b64encode(buffer.getbuffer()).decode("ascii")


@cache
def holds_arrays(answer: type[BaseModel]) -> bool:
    """Whether an answer of that kind may hold arrays."""
    return any(_may_hold(field.annotation) for field in answer.model_fields.values())


def _may_hold(annotation: Any) -> bool:
    if annotation is Array:
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return holds_arrays(annotation)
    return any(_may_hold(part) for part in get_args(annotation))


def arrays_in(answer: BaseModel) -> dict[str, Array]:
    """Every array of an answer by its name: the path to it without `data`, such as `0.depth` or `1.pooled`."""
    return {".".join(step for step in path if step != "data"): array for path, array in _walk(answer, ())}


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


def npz(answer: BaseModel) -> bytes:
    """An npz file (as numpy.load reads it) with the answer's arrays by name, and the rest as `answer.json`.

    Where an array stands in the answer, that file has the array's name.
    """
    arrays = arrays_in(answer)
    names = {id(array): name for name, array in arrays.items()}
    shows = {name: array.encode for name, array in arrays.items()}
    try:
        for array in arrays.values():
            array.encode = lambda one: names[id(one)]
        rest = answer.model_dump_json()
    finally:
        for name, array in arrays.items():
            array.encode = shows[name]
    return pack_npz(arrays, {"answer.json": rest})


def pack_npz(arrays: Mapping[str, Array], texts: Mapping[str, str] | None = None) -> bytes:
    """An npz file with the arrays by name, and beside them files of text."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # numbers of a model hardly shrink
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", array.npy())
        for name, text in (texts or {}).items():
            archive.writestr(name, text)
    return buffer.getvalue()
