"""The manager's routes about logs: which there are, their last lines and what is written, and pages of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contract.asgi.event_streams import event_stream
from contract.errors import InvalidField, ModelNotFound
from contract.logs import LogFiles
from contract.server_events import server_event
from manager import log_pages, log_stream
from manager.log_pages import LogQuery
from manager.processes.launchers.logs import PROGRAMS
from manager.runtime import Runtime

MAX_LINES = 1000
"""Lines of a page."""
MAX_SEARCH = 200
"""Characters that may be searched for."""


@dataclass(frozen=True, slots=True)
class LogRoutes:
    """The routes of one manager."""

    runtime: Runtime

    def routes(self) -> list[Route]:
        return [
            Route("/logs", self.overview),
            Route("/logs/{name:path}", self.stream),
            Route("/log-pages/{name:path}", self.page),
        ]

    async def overview(self, _: Request) -> Response:
        """GET /logs: the logs that there are."""
        home, models = self.runtime.home, list(self.runtime.models.models)
        found = await asyncio.to_thread(log_pages.files, home, PROGRAMS, models)
        return Response(LogFiles(logs=found).model_dump_json(), media_type="application/json")

    async def stream(self, request: Request) -> Response:
        """GET /logs/{id}?lines=50&follow=true&search=: the end of a log, as events.

        `after` is a position in the file from which on lines follow; each event has that after its line as its id.
        """
        path = log_stream.log_file(self.runtime.home, self._name(request))
        count, search = _number(request, "lines", 50, 99999), _search(request)
        after = request.query_params.get("after")
        position = None if after is None else _number(request, "after", 0, 10**15)
        follows = request.query_params.get("follow") == "true"
        lines = self._lines(path, count, position, follows, search.casefold())
        return event_stream(lines)

    async def page(self, request: Request) -> Response:
        """GET /log-pages/{id}?lines=200&before=POSITION&older=0&search=: lines before a position of a log."""
        query = LogQuery(
            count=_number(request, "lines", 200, MAX_LINES),
            before=_number(request, "before", 0, 10**15) if "before" in request.query_params else None,
            search=_search(request),
            older=_number(request, "older", 0, 999),
        )
        page = await asyncio.to_thread(log_pages.read_page, self.runtime.home, self._name(request), query)
        return Response(page.model_dump_json(), media_type="application/json")

    def _name(self, request: Request) -> str:
        """The name of a log that is known; no other file can be read. Raises ModelNotFound."""
        name: str = request.path_params["name"]
        if name in PROGRAMS:
            return name
        if model := self.runtime.models.find(name):
            return model.id
        if log_pages.is_second(self.runtime.home, name, self.runtime.models.models):
            return name
        raise ModelNotFound(f"There is no model {name!r}; GET /v1/models lists the available ones.")

    async def _lines(
        self, path: Path, count: int, position: int | None, follows: bool, needle: str
    ) -> AsyncIterator[bytes]:
        yield b": reading\n\n"
        lines, end = (
            ([], position) if position is not None else await asyncio.to_thread(log_stream.last_lines, path, count)
        )
        for line in lines:
            if needle in line.casefold():
                yield server_event(json.dumps({"line": line}).encode())
        if follows:
            async for new in log_stream.follow(path, end, lambda: self.runtime.event_log.closed):
                if new is None:
                    yield b": still here\n\n"
                elif needle in new[0].casefold():
                    yield server_event(json.dumps({"line": new[0], "position": new[1]}).encode(), id_=new[1])


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= most):
        raise InvalidField(f"`{name}` must be a number from 0 to {most}.", param=name)
    return int(text)


def _search(request: Request) -> str:
    search = request.query_params.get("search", "")
    if len(search) > MAX_SEARCH:
        raise InvalidField(f"`search` may have {MAX_SEARCH} characters at most.", param="search")
    return search
