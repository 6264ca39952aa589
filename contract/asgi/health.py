"""The liveness endpoint of every program."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse


async def alive(_: Request) -> JSONResponse:
    """GET /healthz: the process is alive. Readiness is `/ready`."""
    return JSONResponse({"status": "healthy"})
