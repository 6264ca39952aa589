"""Serves clients that uvicorn does not: of HTTP/1.0, and those that close their sending side after the request."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_FIRST_PROBE, _LAST_PROBE = 0.05, 10.0
_OLD_CLIENTS_WAIT = 2.0
_MAX_ZEROS = 8
"""The most zeros that are sent before the sizes of chunks: parsers accept sizes of at least 16 digits."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the additions of this module."""

    _probe: asyncio.TimerHandle | None = None
    _zeros = 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle and self.scope.get("http_version") == "1.0":
            self.cycle.__class__ = _UnchunkedCycle  # uvicorn has no way to choose it

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open if the client may be waiting for the answer to a complete request, or for its rest.

        The end of its sending side says only that it sends no more. Whether it has closed the connection shows when
        something is sent: until the answer begins, interim responses, which clients ignore; after that zeros, with
        which the size of a chunk may begin. HTTP/1.0 has neither, so there the answer must begin soon.
        """
        cycle = self.cycle
        if not cycle or cycle.more_body or cycle.response_complete:
            return False
        cycle.keep_alive = False
        if self.scope["http_version"] == "1.1":
            self._send_probe(_FIRST_PROBE)
        else:
            self._probe = self.loop.call_later(_OLD_CLIENTS_WAIT, self._close_without_answer)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._probe:
            self._probe.cancel()
        super().connection_lost(exc)

    def _send_probe(self, delay: float) -> None:
        cycle = self.cycle
        if cycle.response_complete or self._zeros == _MAX_ZEROS or self.transport.is_closing():
            return
        if not cycle.response_started:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif cycle.chunked_encoding and self.scope["method"] != "HEAD":
            self._zeros += 1
            self.transport.write(b"0")
        self._probe = self.loop.call_later(delay, self._send_probe, min(2 * delay, _LAST_PROBE))

    def _close_without_answer(self) -> None:
        if not self.cycle.response_started:
            self.transport.close()


class _UnchunkedCycle(RequestResponseCycle):
    """Ends a response of unknown length by closing the connection: HTTP/1.0 has no chunks."""

    _is_open_ended = False

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._is_open_ended = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
            if self._is_open_ended:
                self.chunked_encoding = False
        elif self._is_open_ended:
            # uvicorn subtracts the body's length, and expects nothing to be left at the end.
            self.expected_content_length = len(message.get("body", b"")) + bool(message.get("more_body"))
        await super().send(message)
