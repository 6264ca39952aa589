"""What workers use of the network: the ports on which they listen, and private networks from which they may fetch."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from contract.asgi.serve import listen
from contract.startup_errors import CannotListen
from manager.state.process import lasting_failure


@dataclass(frozen=True, slots=True)
class WorkerNetwork:
    """`ports`: the first and last port of 127.0.0.1 that workers may listen on (None: any free ones).

    `allow_private`: networks as in `gateway.allow_private`.
    """

    ports: tuple[int, int] | None = None
    allow_private: tuple[str, ...] = ()

    def listen(self) -> socket.socket:
        """A listening socket. Raises LoadFailure if every port of the range is in use."""
        first, last = self.ports or (0, 0)
        for port in range(first, last + 1):
            try:
                return listen("127.0.0.1", port)
            except CannotListen:
                continue
        message = f"Every port of manager.worker_ports ({first}-{last}) is in use. Set a longer range."
        raise lasting_failure(message)

    def free_port(self) -> int:
        """A port on which no program listens at this moment, for a server that opens it itself. Raises LoadFailure."""
        with self.listen() as sock:
            port: int = sock.getsockname()[1]
            return port
