"""Whether the process lives, and where to look for the rest."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse


async def alive(_: Request) -> JSONResponse:
    """GET /healthz: the process answers, whatever state its work is in."""
    return JSONResponse({"status": "healthy"})
