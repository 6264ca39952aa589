"""The manager's routes about models on this machine: what is downloaded, downloads, and room for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contract.asgi.event_streams import event_stream
from contract.config import ModelSpec
from contract.errors import InvalidField, ModelNotFound, NotFound
from contract.server_events import server_event
from contract.status import DownloadStatus
from manager.entries import catalogue_entry
from manager.models import downloads
from manager.models.model_download import ModelDownload
from manager.runtime import Runtime
from manager.state.model import Model

PULSE = 5.0
"""Seconds after which a stream of progress repeats itself, as a sign of life."""


@dataclass(frozen=True, slots=True)
class ModelRoutes:
    """The routes of one manager."""

    runtime: Runtime

    def routes(self) -> list[Route]:
        return [
            Route("/downloads", self.overview, methods=["GET"]),
            Route("/downloads", self.start, methods=["POST"]),
            Route("/downloads/{id}", self.show, methods=["GET"]),
            Route("/downloads/{id}", self.cancel, methods=["DELETE"]),
            Route("/downloads/{id}/events", self.events),
            Route("/entries", self.add, methods=["POST"]),
            Route("/entries/{name:path}", self.remove, methods=["DELETE"]),
            Route("/pin/{name:path}", self.pin, methods=["POST"]),
        ]

    async def overview(self, _: Request) -> Response:
        """GET /downloads: what is on this machine, of the configuration and the catalogue; downloads; memory.

        `memory` is by device what models may have there in bytes, if no other program needs any.
        """
        known = await asyncio.to_thread(downloads.copies_of_catalogue)
        copies = await self.runtime.local_copies()
        document = {
            "models": {id_: copy.model_dump() for id_, copy in copies.items()},
            "catalogue": {id_: copy.model_dump() for id_, copy in known.items()},
            "downloads": [download.status().model_dump(mode="json") for download in self.runtime.model_downloads.all],
            "memory": self.runtime.monitor.largest_budgets(),
        }
        return JSONResponse(document)

    async def start(self, request: Request) -> Response:
        """POST /downloads with `{"model": …, "revision": …}`: download a model, unless that runs already."""
        order = await request.json()
        spec = self._spec(order["model"], order.get("revision"))
        if not downloads.is_hub_id(spec):
            message = (
                f"{order['model']} is not downloaded from the hub: its `source` is {spec.source or 'its engine'!r}."
            )
            raise InvalidField(message, param="model")
        return _as_response(self.runtime.model_downloads.start(spec), 202)

    async def show(self, request: Request) -> Response:
        """GET /downloads/{id}: how far a download is."""
        return _as_response(self._download(request))

    async def cancel(self, request: Request) -> Response:
        """DELETE /downloads/{id}: end a download. Files that are complete stay."""
        download = self._download(request)
        await self.runtime.model_downloads.cancel(download)
        return _as_response(download)

    async def events(self, request: Request) -> Response:
        """GET /downloads/{id}/events: a download's status whenever it changes, until its end."""
        updates = self.runtime.model_downloads.updates(self._download(request), PULSE)
        return event_stream(_lines(updates))

    async def add(self, request: Request) -> Response:
        """POST /entries with an entry, or the name of one in the catalogue as `model`: add it to config.yaml."""
        return JSONResponse({"model": await self.runtime.entries.add(await request.json())}, 201)

    async def remove(self, request: Request) -> Response:
        """DELETE /entries/{name}?files=true&entry=false: remove a model's files, its entry, or both."""
        query = request.query_params
        entry, files = query.get("entry") == "true", query.get("files") != "false"
        removed = await self.runtime.entries.remove(request.path_params["name"], entry=entry, files=files)
        return JSONResponse(asdict(removed))

    async def pin(self, request: Request) -> Response:
        """POST /pin/{name}?pinned=true: keep the model's workers until they are evicted by request, or no longer."""
        name = request.path_params["name"]
        model = self.runtime.models.find(name)
        if model is None:
            raise ModelNotFound(f"There is no model {name!r}; GET /v1/models lists the available ones.")
        self.runtime.pin(model, request.query_params.get("pinned") != "false")
        return JSONResponse({"model": model.id, "pinned": model.pinned})

    def _download(self, request: Request) -> ModelDownload:
        download = self.runtime.model_downloads.get(request.path_params["id"])
        if download is None:
            raise NotFound("There is no such download; GET /api/models/downloads lists them.")
        return download

    def _spec(self, name: str, revision: str | None) -> ModelSpec:
        """The entry that a name means: a configured one, one of the catalogue, or none but a repository of the hub."""
        if model := self.runtime.models.find(name) or self._with_source(name):
            spec = model.spec
        elif entry := catalogue_entry(name):
            spec = ModelSpec.model_validate(entry)
        else:
            spec = _of_hub(name)
        return spec.model_copy(update={"revision": revision}) if revision else spec

    def _with_source(self, name: str) -> Model | None:
        return next((model for model in self.runtime.models.models.values() if model.spec.source == name), None)


def _of_hub(name: str) -> ModelSpec:
    spec = downloads.spec_of_hub(name)
    if "/" not in name or spec is None:
        message = (
            f"There is no model {name[:200]!r}. Name one of GET /api/models, or a hub id such as organisation/model."
        )
        raise InvalidField(message, param="model")
    return spec


def _as_response(download: ModelDownload, status: int = 200) -> Response:
    return JSONResponse(download.status().model_dump(mode="json"), status)


async def _lines(updates: AsyncIterator[DownloadStatus]) -> AsyncIterator[bytes]:
    async for status in updates:
        yield server_event(status.model_dump_json().encode())
