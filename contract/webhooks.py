"""Signs webhooks as Standard Webhooks do: an HMAC-SHA256 over id, time and body.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"
_LENGTHS = range(24, 65)


def check_secret(secret: str) -> str:
    """The secret itself. Raises ValueError if it is none: `whsec_` and 24 to 64 bytes as base64."""
    _key(secret)
    return secret


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) not in _LENGTHS:
        message = f"must be `{_PREFIX}` and 24 to 64 bytes as base64"
        raise ValueError(f"{message}, such as `echo {_PREFIX}$(openssl rand -base64 32)` prints")
    return key


def signed_headers(secret: str, id_: str, time: int, body: bytes) -> dict[str, str]:
    """The headers of a webhook that is sent at `time`, in seconds since the epoch. Raises ValueError."""
    content = b"%s.%d.%s" % (id_.encode(), time, body)
    signature = base64.b64encode(hmac.new(_key(secret), content, hashlib.sha256).digest()).decode()
    return {"webhook-id": id_, "webhook-timestamp": str(time), "webhook-signature": f"v1,{signature}"}
