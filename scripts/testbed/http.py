"""HTTP clients for servers on this machine."""

from __future__ import annotations

import ssl
from typing import Any

import httpx2

_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""By default every client reads the certificates of all authorities, which takes more CPU than dozens of requests."""

ONE_REQUEST_EACH = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
"""Limits for a client whose connections end with their request, so that none is open when a server stops."""


def local_client(**options: Any) -> httpx2.Client:
    """A client that uses no proxy and trusts no certificate."""
    return httpx2.Client(**{"verify": _NO_CERTIFICATES, "trust_env": False, "timeout": 200, **options})
