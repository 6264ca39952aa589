"""The manager's routes about the configuration file and the keys in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from manager.configuration_edits import ConfigurationEdits


@dataclass(frozen=True, slots=True)
class ConfigurationRoutes:
    """The routes of one manager."""

    edits: ConfigurationEdits

    def routes(self) -> list[Route]:
        return [
            Route("/configuration", self.show, methods=["GET"]),
            Route("/configuration", self.save, methods=["PUT"]),
            Route("/configuration/check", self.check, methods=["POST"]),
            Route("/keys", self.add_key, methods=["POST"]),
            Route("/keys", self.change_key, methods=["PATCH"]),
            Route("/keys", self.remove_key, methods=["DELETE"]),
        ]

    async def show(self, _: Request) -> Response:
        """GET /configuration: the file and the settings in force, without secrets."""
        page = await asyncio.to_thread(self.edits.page)
        return Response(page.model_dump_json(), media_type="application/json")

    async def check(self, request: Request) -> Response:
        """POST /configuration/check with `{"text": …}`: what saving it would do."""
        result = await self.edits.check((await request.json())["text"])
        return Response(result.model_dump_json(), media_type="application/json")

    async def save(self, request: Request) -> Response:
        """PUT /configuration with `{"text": …, "etag": …}`: replace the file, if it is still the one with that etag."""
        order = await request.json()
        saved = await self.edits.save(order["text"], order["etag"])
        return Response(saved.model_dump_json(), media_type="application/json")

    async def add_key(self, request: Request) -> Response:
        """POST /keys with an entry of `security.api_keys`."""
        await self.edits.put_key(await request.json(), is_new=True)
        return JSONResponse({}, 201)

    async def change_key(self, request: Request) -> Response:
        """PATCH /keys with the `name` of an entry, and the parts of it that change."""
        await self.edits.put_key(await request.json(), is_new=False)
        return JSONResponse({})

    async def remove_key(self, request: Request) -> Response:
        """DELETE /keys with the `name` of an entry."""
        await self.edits.remove_key(str((await request.json())["name"]))
        return JSONResponse({})
