"""Gives apps both directions of a connection that a client upgrades to WebSocket, as bytes.

To the app, the handshake is a GET request like any other, which sets `websocket` in its scope. If the app answers with
status 101, the body of the request is what the client sends from then on, and the body of the response what the client
gets. The frames in it are no concern of ours: a proxy passes them on as they are, compressed or not.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_LINGER = 1.0
"""Seconds in which the client may still send after our end: closing at once could destroy what it has yet to read."""


class UpgradeProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with WebSockets as this module describes. uvicorn's own must be off (`ws="none"`)."""

    _upgraded = False

    def data_received(self, data: bytes) -> None:
        if self._upgraded:
            self.on_body(data)
        else:
            super().data_received(data)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle and self.scope["method"] == "GET" and self.parser.should_upgrade():
            self._upgraded = self._get_upgrade() == b"websocket"
        if self._upgraded:
            self.scope["websocket"] = True  # type: ignore[typeddict-unknown-key]
            self.cycle.__class__ = _UpgradedCycle  # uvicorn has no way to choose it

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._upgraded:
            self.cycle.more_body = True  # the frames

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: WebSockets are supported, and servers may ignore other upgrades."""


class _UpgradedCycle(RequestResponseCycle):
    """Answers a handshake; after status 101, sends and receives bytes until either side closes the connection."""

    _is_open = False

    async def send(self, message: Any) -> None:
        is_last = False
        if message["type"] == "http.response.start" and message["status"] == 101:
            self._is_open, self.chunked_encoding, self.keep_alive = True, False, True
            upgrade = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
            message = {**message, "headers": [*message["headers"], *upgrade]}
        elif self._is_open:
            is_last = not message.get("more_body")
            # uvicorn subtracts the body's length, and expects nothing to be left at the end.
            self.expected_content_length = len(message.get("body", b"")) + (not is_last)
        else:
            self.keep_alive = False  # the parser takes no more requests
        await super().send(message)
        if is_last and not self.transport.is_closing():
            self.transport.write_eof()
            asyncio.get_running_loop().call_later(_LINGER, self.transport.close)

    async def receive(self) -> Any:
        message = await super().receive()
        if message["type"] == "http.disconnect" and self.body:
            # The client's last frames, such as its Close frame: it need not wait for what we would send.
            message = {"type": "http.request", "body": bytes(self.body), "more_body": True}
            self.body = bytearray()
        return message
