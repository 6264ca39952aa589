"""Hands one end of a pipe to the event loop."""

from __future__ import annotations

import asyncio
import os
from typing import IO, Literal

import uvloop


def pipe_end(descriptor: int, mode: Literal["rb", "wb"]) -> IO[bytes]:
    """A file for `connect_read_pipe` or `connect_write_pipe`; the transport closes the descriptor.

    uvloop closes the descriptor and then the file. By then another thread may have opened something with the same
    number, so the file must not close it a second time.
    """
    closes = not isinstance(asyncio.get_running_loop(), uvloop.Loop)
    return os.fdopen(descriptor, mode, buffering=0 if mode == "wb" else -1, closefd=closes)
