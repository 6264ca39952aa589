"""Says in one sentence why a program cannot start."""

from __future__ import annotations

import errno
import socket


class CannotListen(OSError):
    """An address or a port is not available. `reason` says why."""

    def __init__(self, host: str, port: int, cause: OSError) -> None:
        super().__init__(cause.errno, cause.strerror)
        self.host = host
        self.port = port
        if isinstance(cause, socket.gaierror) or cause.errno == errno.EADDRNOTAVAIL:
            self.reason = f"this machine has no address {host!r}"
        else:
            self.reason = _REASONS.get(cause.errno or 0, cause.strerror or str(cause))

    def __str__(self) -> str:
        return f"cannot listen on {self.host}, port {self.port}: {self.reason}"


_REASONS = {
    errno.EADDRINUSE: "another program uses this port",
    errno.EACCES: "this user may not use this port; choose one above 1023",
}


def explain(error: Exception) -> str:
    """The error as one sentence, with the file or folder that it is about."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}. Check the folder; ENGINEHOUSE_HOME chooses another one for state."
    return str(error)
