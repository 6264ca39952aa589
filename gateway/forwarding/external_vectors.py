"""Holds the vectors of external servers to the form that the client asked for: numbers, or base64 of floats.

Many servers ignore `encoding_format`. Clients that ask for base64, as OpenAI's own do, read a list of numbers as 96
zeros or fail. Only the values of the fields `embedding` are looked at.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Iterator

from starlette.types import Message, Send

from contract.errors import EngineFailed
from gateway.forwarding.offload import offload

_VECTOR = re.compile(
    rb'"embedding"\s*:\s*(?:\[(?P<numbers>[-+0-9.eE,\s]+)\]|"(?P<text>[A-Za-z0-9+/=\\]+)"|(?P<other>[^\s]))'
)
_FLOAT = 4


class CheckedVectors:
    """An ASGI `send` that passes an answer on once its vectors have the form `wanted`: `float` or `base64`.

    Answers that are no JSON, and errors, pass as they are. Raises EngineFailed for vectors of another kind.
    """

    def __init__(self, send: Send, model: str, wanted: str) -> None:
        self._send, self._model, self._wanted = send, model, wanted
        self._head: Message | None = None
        self._body: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _holds_json(message):
            self._head = message
        elif self._head is None:
            await self._send(message)
        else:
            self._body.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._finish(self._head)

    async def _finish(self, head: Message) -> None:
        body = b"".join(self._body)
        self._body, self._head = [], None
        body = await offload(len(body), self._checked, body)
        headers = [(name, value) for name, value in head["headers"] if name.lower() != b"content-length"]
        await self._send({**head, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
        await self._send({"type": "http.response.body", "body": body})

    def _checked(self, body: bytes) -> bytes:
        return b"".join(self._pieces(body))

    def _pieces(self, body: bytes) -> Iterator[bytes]:
        """The body, with each vector in the form that is wanted."""
        position = 0
        for vector in _VECTOR.finditer(body):
            kind = vector.lastgroup or ""
            if kind == "other":
                raise self._wrong()
            yield body[position : vector.start(kind) - 1]
            yield self._in_form(kind, vector[kind])
            position = vector.end(kind) + 1
        yield body[position:]

    def _in_form(self, kind: str, value: bytes) -> bytes:
        """A vector as JSON. Raises EngineFailed unless it is one of finite numbers."""
        numbers = self._numbers(value) if kind == "numbers" else self._floats(value)
        if not numbers or not all(map(math.isfinite, numbers)):
            raise self._wrong()
        if self._wanted == "float":
            return b"[%b]" % value if kind == "numbers" else json.dumps(numbers).encode()
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
        return b'"%b"' % (base64.b64encode(packed) if kind == "numbers" else value)

    def _numbers(self, value: bytes) -> list[float]:
        try:
            numbers: list[float] = json.loads(b"[%b]" % value)
        except ValueError:
            raise self._wrong() from None
        return numbers

    def _floats(self, value: bytes) -> list[float]:
        try:
            packed = base64.b64decode(value.replace(b"\\/", b"/"), validate=True)
            return [number for (number,) in struct.iter_unpack("<f", packed)]
        except (binascii.Error, struct.error):
            raise self._wrong() from None

    def _wrong(self) -> EngineFailed:
        return EngineFailed(
            f"The server of {self._model} answered with vectors that are neither lists of finite numbers nor base64 of "
            "32-bit floats. Look at its options: it may be set to return one vector for each token, or rows of scores."
        )


def _holds_json(head: Message) -> bool:
    headers = {name.lower(): value for name, value in head.get("headers", ())}
    is_json = headers.get(b"content-type", b"").lower().startswith(b"application/json")
    return head["status"] == 200 and is_json and b"content-encoding" not in headers
