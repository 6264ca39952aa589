"""GET routes for the fixed lists that tasks declare, such as the named questions of `analyze`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.tasks import Listing, all_tasks


def router() -> APIRouter:
    """A route for every listing of every task."""
    routes = APIRouter(tags=["models"])
    for task in all_tasks().values():
        for listing in task.listings:
            routes.add_api_route(
                listing.path,
                _endpoint(listing),
                summary=f"Named values of {task.name}",
                description=listing.description,
                response_model=None,
                name=listing.path,
            )
    return routes


def _endpoint(listing: Listing) -> Callable[[Request], Awaitable[Response]]:
    async def list_items(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": listing.items})

    return list_items
