"""Forwards every path below /upstream/ID to the external server with that id, as it is."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from contract.asgi.body import ClientDisconnected
from contract.errors import ModelNotFound
from gateway.forwarding.external_forwarder import ServerPath, check_forwardable, raw_path
from gateway.forwarding.external_request import read_request
from gateway.forwarding.model_table import ModelTable
from gateway.services import Services

PREFIX = "/upstream/"


class Upstream:
    """The app behind `PREFIX`: any method and path. Raises NotFound for models that are no external servers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint_label"] = "/upstream/{model}/{path}"
        check_forwardable(scope)
        self._services.check_origin(scope)  # also for GET, which may start a server here
        await self._services.pacing.begin()
        table = await self._services.directory.table()
        target = split(raw_path(scope), table)
        if not table.is_external(target.model):
            raise table.no_such_path(target.model, scope["method"], scope["path"])
        if not target.path:
            await _add_slash(scope, send)  # so that the links of the server's pages lead below it
            return
        try:
            async with read_request(scope, receive, self._services.body_limit) as request:
                await self._services.external.forward(target, request, scope, receive, send)
        except ClientDisconnected:
            return


def split(path: str, table: ModelTable) -> ServerPath:
    """The model whose name the encoded path begins with, the longest one, and the rest of the path as it is.

    A slash in the name may be encoded or not. Raises ModelNotFound.
    """
    segments = path.removeprefix(PREFIX).split("/")
    for count in range(min(len(segments), table.longest_name), 0, -1):
        if model := table.find(unquote("/".join(segments[:count]))):
            prefix = PREFIX + "/".join(segments[:count])
            return ServerPath(model, "".join(f"/{segment}" for segment in segments[count:]), prefix)
    if not segments[0]:
        raise ModelNotFound(f"Name an external server in the path: {PREFIX}ID and the server's own path.")
    table.get(unquote(segments[0]))  # raises, and names similar models
    raise AssertionError("unreachable: `find` has not found it")


def route(services: Services) -> Route:
    """The route of all methods and paths below `PREFIX`."""
    return Route(PREFIX + "{path:path}", Upstream(services), include_in_schema=False)


async def _add_slash(scope: Scope, send: Send) -> None:
    query = scope["query_string"].decode("latin-1")
    location = f"{raw_path(scope)}/" + (f"?{query}" if query else "")
    headers = [(b"location", location.encode("latin-1")), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 307, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
