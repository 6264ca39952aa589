"""Which of a client's request headers are forwarded, and how long its `X-Max-Wait` lets a request wait."""

from __future__ import annotations

import math

from starlette.types import Scope

from contract.asgi.middleware import header
from contract.asgi.relay import HOP_BY_HOP
from contract.errors import InvalidField

Headers = list[tuple[str, str]]

_FOR_US = {b"authorization", b"x-api-key", b"x-request-id", b"x-max-wait", b"x-loading-messages", b"cookie", b"origin"}
_NOT_FORWARDED = HOP_BY_HOP | _FOR_US
_PREFIXES_NOT_FORWARDED = (b"x-enginehouse-", b"sec-")


def forwarded_headers(scope: Scope) -> Headers:
    """The client's headers without those meant for the gateway (keys, cookies, a browser's) and our internal names."""
    return [
        (str(name, "latin-1"), str(value, "latin-1"))
        for name, value in scope["headers"]
        if name not in _NOT_FORWARDED and not name.startswith(_PREFIXES_NOT_FORWARDED)
    ]


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


def wants_loading_messages(scope: Scope) -> bool:
    """Whether `X-Loading-Messages: reasoning` asks for chunks that say what a stream waits for. Raises InvalidField."""
    value = header(scope, b"x-loading-messages")
    if value not in {None, "comments", "reasoning"}:
        raise InvalidField(
            "`X-Loading-Messages` must be `reasoning`, or `comments` as without it.", param="X-Loading-Messages"
        )
    return value == "reasoning"
