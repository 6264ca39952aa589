"""The transport under every response: sends heads together with bodies, and knows how much the client has taken."""

from __future__ import annotations

import asyncio
from typing import Any


class CoalescingTransport:
    """A transport that sends a response's head together with the first chunk of its body.

    Sent separately, they cost two system calls and two packets, and wake the receiver twice.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._written = 0
        self._call_soon = asyncio.get_running_loop().call_soon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def unsent(self) -> int:
        """Bytes that wait here because the system's buffers are full: the client does not read fast enough."""
        return self._transport.get_write_buffer_size()

    @property
    def sent(self) -> int:
        """Bytes that the system has taken so far. Once its buffers are full, it takes more only if the client reads."""
        return self._written - self.unsent

    def write(self, data: bytes) -> None:
        """Send immediately, except for a head: hold that until the next write, or the next turn of the event loop."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data[:9] == b"HTTP/1.1 ":
            self._head = data
            self._call_soon(self.flush)
            return
        self._written += len(data)
        self._transport.write(data)

    def flush(self) -> None:
        """Send a held head."""
        if self._head:
            head, self._head = self._head, b""
            self._written += len(head)
            self._transport.write(head)

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()
