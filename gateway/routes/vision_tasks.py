"""What `analyze` can be asked by name: the list of its questions."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.tasks.analyze import DESCRIPTIONS, PROMPTS


def router() -> APIRouter:
    """The one route."""
    routes = APIRouter(tags=["models"])
    listed = [
        {"id": name, "object": "vision.task", "description": description, "prompt": PROMPTS.get(name)}
        for name, description in DESCRIPTIONS.items()
    ]

    async def list_tasks(_: Request) -> Response:
        """The values of `task` in `/v1/vision/analyze`, each with the question that it stands for (null: your own)."""
        return JSONResponse({"object": "list", "data": listed})

    routes.get("/v1/vision/tasks", response_model=None)(list_tasks)
    return routes
