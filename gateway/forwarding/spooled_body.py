"""A request's body in a temporary file, which stays in memory while it is small.

The file is complete before the request is forwarded. A slow upload thus keeps no worker busy, and a request whose
worker dies can be sent again.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from types import TracebackType

from starlette.types import Receive, Scope

from contract.asgi.body import body_chunks
from contract.asgi.body_memory import hold

IN_MEMORY = 2**20
_CHUNK = 64 * 1024


class SpooledBody:
    """The body's bytes; `replace` exchanges some of them. A context manager, which removes the file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - `__exit__` closes it
        self._length = 0
        self._replaced: list[tuple[int, int, bytes]] = []

    def __enter__(self) -> SpooledBody:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._length + sum(len(value) - (end - start) for start, end, value in self._replaced)

    async def fill(self, scope: Scope, receive: Receive, limit: int, watch: Callable[[bytes], None]) -> None:
        """Read a request's body of at most `limit` bytes; `watch` sees every chunk.

        Raises TooLarge, BodyMemoryFull, ClientDisconnected, and what `watch` raises.
        """
        async for chunk in body_chunks(scope, receive, limit):
            watch(chunk)
            self._hold(len(chunk))
            self._file.write(chunk)
            self._length += len(chunk)

    def _hold(self, count: int) -> None:
        """Count a chunk that is written next; beyond `IN_MEMORY`, the file is on disk."""
        if self._length + count <= IN_MEMORY:
            hold(count)
        elif self._length <= IN_MEMORY:
            hold(-self._length)

    def replace(self, start: int, end: int, value: bytes) -> None:
        """Send `value` in place of the bytes from `start` to `end`. Replace from the front to the back."""
        self._replaced.append((start, end, value))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body to send, from its beginning; also a second time."""
        position = 0
        for start, end, value in [*self._replaced, (self._length, self._length, b"")]:
            self._file.seek(position)
            while chunk := self._file.read(min(_CHUNK, start - position)):
                position += len(chunk)
                yield chunk
            if value:
                yield value
            position = end
