"""Which of a client's request headers are forwarded, and how long its `X-Max-Wait` lets a request wait."""

from __future__ import annotations

import math

from starlette.types import Scope

from contract import durations
from contract.asgi.middleware import header
from contract.asgi.relay import HOP_BY_HOP, end_to_end
from contract.errors import InvalidField

Headers = list[tuple[str, str]]

_FOR_US = {b"authorization", b"x-api-key", b"x-request-id", b"x-max-wait", b"x-keep-alive", b"x-loading-messages"}
# Answers are not compressed: their events are separated on the way.
_NOT_FORWARDED = HOP_BY_HOP | _FOR_US | {b"cookie", b"origin", b"accept-encoding"}
_KEY_AS_SUBPROTOCOL = "openai-insecure-api-key."
"""What OpenAI's client for browsers puts before its key: web pages cannot set other headers of a WebSocket."""
_PREFIXES_NOT_FORWARDED = (b"x-enginehouse-", b"sec-")


def forwarded_headers(scope: Scope) -> Headers:
    """The client's headers without those meant for the gateway (keys, cookies, a browser's) and our internal names."""
    return [
        (str(name, "latin-1"), str(value, "latin-1"))
        for name, value in end_to_end(scope["headers"])
        if name not in _NOT_FORWARDED and not name.startswith(_PREFIXES_NOT_FORWARDED)
    ]


def websocket_headers(scope: Scope) -> Headers:
    """The headers of a handshake that the server needs: not a key that is sent as a subprotocol."""
    protocols = [name for name in _subprotocols(scope) if not name.startswith(_KEY_AS_SUBPROTOCOL)]
    names = (b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions")
    headers = [(name.decode(), value) for name in names if (value := header(scope, name)) is not None]
    return [*headers, ("sec-websocket-protocol", ", ".join(protocols))] if protocols else headers


def key_in_subprotocols(scope: Scope) -> str | None:
    """The key that a web page sends with a WebSocket, or None."""
    keys = (name for name in _subprotocols(scope) if name.startswith(_KEY_AS_SUBPROTOCOL))
    return next((name.removeprefix(_KEY_AS_SUBPROTOCOL) for name in keys), None)


def _subprotocols(scope: Scope) -> list[str]:
    lists = (str(value, "latin-1") for name, value in scope["headers"] if name == b"sec-websocket-protocol")
    return [protocol.strip() for names in lists for protocol in names.split(",")]


def requested_wait(scope: Scope) -> float:
    """The seconds in `X-Max-Wait`; infinity without that header. Raises InvalidField."""
    value = header(scope, b"x-max-wait")
    if value is None:
        return math.inf
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1
    if not seconds >= 0:  # NaN compares false
        raise InvalidField("`X-Max-Wait` must be a number of seconds, such as 30.", param="X-Max-Wait")
    return seconds


def requested_keep_alive(scope: Scope) -> float | None:
    """The seconds in `X-Keep-Alive`, for which the model stays after the request; None without it.

    Raises InvalidField.
    """
    value = header(scope, b"x-keep-alive")
    try:
        return None if value is None else durations.seconds(value)
    except ValueError as error:
        raise InvalidField(f"`X-Keep-Alive` {error}.", param="X-Keep-Alive") from None


def wants_loading_messages(scope: Scope) -> bool:
    """Whether `X-Loading-Messages: reasoning` asks for chunks that say what a stream waits for. Raises InvalidField."""
    value = header(scope, b"x-loading-messages")
    if value not in {None, "comments", "reasoning"}:
        raise InvalidField(
            "`X-Loading-Messages` must be `reasoning`, or `comments` as without it.", param="X-Loading-Messages"
        )
    return value == "reasoning"
