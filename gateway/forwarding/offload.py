"""Runs work on a large body in a thread, so that the event loop can serve other requests meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

LARGE_BODY = 64 * 1024
"""Work on more bytes than this runs in a thread; for smaller bodies, switching threads would cost more."""


async def offload(size: int, work: Callable[..., T], *arguments: Any) -> T:
    """Run `work`, which handles `size` bytes: in a thread if that blocks the event loop too long, else directly."""
    return await asyncio.to_thread(work, *arguments) if size > LARGE_BODY else work(*arguments)
