"""Keys, tokens and secrets in the configuration: which they are; trimmed, and refused if no client could send them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

PLACEHOLDER_KEYS = frozenset({"", "change-me"})
"""Values of `gateway.api_key` that mean: no key is required."""

_SECRET = re.compile(r"(^|_)(api_?key|key_hash|token|secret|password|passphrase|credentials?|database)$", re.IGNORECASE)
_ALL_SECRET = frozenset({"env", "headers"})

MIN_LENGTH = 8
_VISIBLE = re.compile(r"[\x21-\x7e]+")


def is_secret(key: str) -> bool:
    """Whether the value of a key of the configuration is a secret."""
    return bool(_SECRET.search(key))


def holds_secrets(key: str) -> bool:
    """Whether all values of the mapping under a key are secrets."""
    return key in _ALL_SECRET


def check_credential(value: object) -> object:
    """The credential without surrounding blanks. Raises ValueError if it is too short or cannot be sent in a header."""
    if not isinstance(value, str) or value in PLACEHOLDER_KEYS:
        return value
    text = value.strip()
    if text in PLACEHOLDER_KEYS - {""}:
        return text
    if not _VISIBLE.fullmatch(text):
        problem = "it has characters that no HTTP header can carry" if text else "it is blank"
        raise ValueError(f"{problem}; use letters and digits, such as `openssl rand -hex 24` prints")
    if len(text) < MIN_LENGTH:
        raise ValueError(f"it has fewer than {MIN_LENGTH} characters; `openssl rand -hex 24` prints a good one")
    return text


Credential = Annotated[str, BeforeValidator(check_credential)]
