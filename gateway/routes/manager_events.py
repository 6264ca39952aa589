"""Relays streams of events from the manager to a client."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, cancel_on_disconnect
from contract.asgi.event_streams import EVENTS
from contract.asgi.relay import UpstreamError
from gateway.forwarding.forward import relay_response
from gateway.forwarding.manager_client import ManagerClient


class ManagerEvents(Response):
    """A stream of events of the manager, relayed until it ends or either side disconnects."""

    def __init__(self, manager: ManagerClient, path: str, query: str = "") -> None:
        super().__init__()
        self._manager = manager
        self._path, self._query = path, query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = self._manager.url(self._path, self._query.encode())
        scope["endless"] = True
        try:
            async with (
                cancel_on_disconnect(receive),
                self._manager.open("GET", url, [("accept", EVENTS)]) as response,
            ):
                interrupted = partial(self._manager.unreachable, "it disconnected")
                await relay_response(response, send, scope["request_id"], interrupted)
        except UpstreamError as error:
            raise self._manager.unreachable(error) from error
        except ClientDisconnected:
            return
