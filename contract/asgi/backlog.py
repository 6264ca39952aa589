"""Accepts all connections that wait on a server's sockets, within a few turns of the event loop.

libuv accepts one connection per turn. While a thousand clients open connections and send requests, a turn takes
milliseconds, and a health check that connects last would wait until the requests of all others have begun.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

AT_ONCE = 128
"""Connections that are accepted in one turn on each socket."""


class AcceptingFactory:
    """A factory of protocols that, when a connection needs one, also accepts those that wait behind it.

    It accepts nothing by itself until `sockets` are set.
    """

    def __init__(self, create: Callable[..., asyncio.Protocol]) -> None:
        self.sockets: Sequence[socket.socket] = ()
        self._create = create
        self._is_accepting = False
        self._opening: set[asyncio.Task[Any]] = set()

    def __call__(self, **arguments: Any) -> asyncio.Protocol:
        if self.sockets and not self._is_accepting:
            self._is_accepting = True
            asyncio.get_running_loop().call_soon(self._accept, arguments)
        return self._create(**arguments)

    def _accept(self, arguments: dict[str, Any]) -> None:
        accepted = [sock for listener in self.sockets for sock in islice(_waiting_connections(listener), AT_ONCE)]
        self._is_accepting = bool(accepted)
        loop = asyncio.get_running_loop()
        for connection in accepted:
            opening = loop.create_task(loop.connect_accepted_socket(lambda: self._create(**arguments), connection))
            self._opening.add(opening)
            opening.add_done_callback(self._opened)
        if accepted:
            loop.call_soon(self._accept, arguments)

    def _opened(self, opening: asyncio.Task[Any]) -> None:
        self._opening.discard(opening)
        if not opening.cancelled():
            opening.exception()  # its client has gone already, which is no fault


def _waiting_connections(listener: socket.socket) -> Iterator[socket.socket]:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # none waits, the server stops, or there are no descriptors: libuv deals with these
        connection.setblocking(False)
        yield connection
