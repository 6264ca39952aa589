"""Ends a program in good order as soon as the program that started it is gone.

Only the starter holds the other end of our stdin. However it ends, the system closes that end, and we read end of file.
"""

from __future__ import annotations

import os
import signal
import threading

VARIABLE = "ENGINEHOUSE_ENDS_WITH_STDIN"
"""The environment variable with which a starter asks for this. Without it, stdin means nothing."""


def end_with_starter() -> None:
    """Send this process SIGTERM when its stdin ends, if its starter has asked for that."""
    if os.environ.pop(VARIABLE, ""):  # programs that we start have another stdin
        threading.Thread(target=_watch, name="starter", daemon=True).start()


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
