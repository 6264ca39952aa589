"""Where the server is, and how requests to it are sent."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

DEFAULT_URL = "http://localhost:8000"


@dataclass(frozen=True, slots=True)
class Connection:
    """The server's address, and the options of an httpx2 client for it."""

    base_url: str
    options: dict[str, Any] = field(repr=False)

    @classmethod
    def to(cls, base_url: str | None, api_key: str | None, timeout: float) -> Connection:
        """The connection to a server, or to the one in the environment. Raises ValueError for an unusable address."""
        address = (base_url or os.environ.get("ENGINEHOUSE_URL") or DEFAULT_URL).rstrip("/").removesuffix("/v1")
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{address!r} is not the address of a server; write one such as {DEFAULT_URL}")
        key = api_key or os.environ.get("ENGINEHOUSE_KEY")
        options: dict[str, Any] = {"timeout": timeout, "headers": {"authorization": f"Bearer {key}"} if key else {}}
        if parts.scheme == "http":
            # Without TLS, no certificates are needed, and reading them takes longer than most requests.
            options["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if parts.hostname in {"localhost", "127.0.0.1", "::1"}:
            options["trust_env"] = False  # a proxy cannot reach this machine's own addresses
        return cls(address, options)
