"""The routes of dialects that download a model, whose progress is lines of JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from contract import catalogue
from contract.asgi.body import read_body
from contract.asgi.event_streams import EVENTS, undelayed
from contract.asgi.middleware import header
from contract.asgi.relay import UpstreamError, iter_chunks
from contract.errors import ServeError, from_envelope
from contract.status import DownloadState, DownloadStatus
from contract.tasks import decode_body
from gateway.access.keys import require_admin
from gateway.dialects.body_types import content_type_at
from gateway.dialects.dialect import ControlRoute
from gateway.forwarding.manager_client import ManagerClient
from gateway.services import Services

_MAX_BODY = 64 * 1024


class DownloadEndpoint:
    """Answers the requests of one route. The download goes on if the client disconnects."""

    def __init__(self, route: ControlRoute, services: Services) -> None:
        assert route.progress is not None
        self._route, self._progress = route, route.progress
        self._services = services

    async def __call__(self, request: Request) -> Response:
        request.scope["endpoint_label"] = self._route.path
        require_admin(request.scope.get("principal"))
        body = await self._body(request)
        (action,) = self._route.to_actions(body, await self._services.directory.table())
        manager = self._services.manager
        started = (await manager.call("POST", "/downloads", content={"model": action.model, "revision": None})).json()
        updates = self._updates(action.model, started["id"])
        if getattr(body, "stream", True):
            request.scope["endless"] = True
            return undelayed(self._lines(updates), "application/x-ndjson")
        async for last in updates:
            if last.error:
                raise from_envelope({"error": last.error})
        return Response(_line(self._progress(last)[-1]), media_type="application/json")

    async def _body(self, request: Request) -> BaseModel:
        assert self._route.request is not None
        content = await read_body(request.scope, request.receive, _MAX_BODY)
        content_type = content_type_at(self._route.path, header(request.scope, b"content-type") or "")
        return decode_body(self._route.request, self._route.path, content_type, content)

    async def _updates(self, name: str, id_: str) -> AsyncIterator[DownloadStatus]:
        """The download's states to its end, after which a model of the catalogue also has an entry."""
        async for status in _statuses(self._services.manager, id_):
            if status.state is DownloadState.DONE:
                await self._add(name)
            yield status

    async def _add(self, name: str) -> None:
        directory = self._services.directory
        if catalogue.load().find(name) and (await directory.current()).find_known(name) is None:
            (await self._services.manager.call("POST", "/entries", content={"model": name}, timeout=120)).json()
            await directory.refresh()

    async def _lines(self, updates: AsyncIterator[DownloadStatus]) -> AsyncIterator[bytes]:
        try:
            async for status in updates:
                for line in self._progress(status):
                    yield _line(line) + b"\n"
        except ServeError as error:
            yield json.dumps({"error": error.message}, ensure_ascii=False).encode() + b"\n"


def _line(line: BaseModel) -> bytes:
    return line.model_dump_json().encode()


async def _statuses(manager: ManagerClient, id_: str) -> AsyncIterator[DownloadStatus]:
    """The states of a download as the manager reports them. Raises ManagerUnreachable."""
    url = manager.url(f"/downloads/{quote(id_, safe='')}/events")
    rest = b""
    try:
        async with manager.open("GET", url, [("accept", EVENTS)]) as response:
            async for chunk in iter_chunks(response):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    if line.startswith(b"data:"):
                        yield DownloadStatus.model_validate_json(line[5:])
    except UpstreamError as error:
        raise manager.unreachable(error) from error
