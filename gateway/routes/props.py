"""GET /props: what a chat model can do, as llama.cpp's server says it, where clients such as Frigate look for it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.errors import NotFound
from contract.status import ModelStatus
from contract.tasks.chat import CHAT
from gateway.forwarding.model_directory import ModelDirectory
from gateway.routes.models import query_parameter


def props(model: ModelStatus) -> dict[str, Any]:
    """A model's context length and abilities. A length of 0 is unknown, as it is before the first load."""
    return {
        "model_alias": model.id,
        "default_generation_settings": {"n_ctx": model.facts.context_length or 0},
        "modalities": {"vision": "images" in model.features, "audio": False},
        "chat_template_caps": {"supports_tools": "tools" in model.features},
    }


def router(directory: ModelDirectory) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["models"])

    async def get_props(request: Request) -> Response:
        """What the chat model `?model=` can do, in the form of llama.cpp's server; without it, the default one."""
        table = await directory.current()
        model = table.choose(CHAT.name, request.query_params.get("model"))
        if table.is_external(model):
            raise NotFound(
                f"{model.id} is an external server: ask it at GET /upstream/{model.id}/props.", param="model"
            )
        return JSONResponse(props(model))

    query = query_parameter(
        "model", "string", "a model's id, or an alias of it; without it, the one that chats by default", "vlm-best"
    )
    summary = "A chat model as llama.cpp's server describes it"
    routes.get("/props", summary=summary, response_model=None, openapi_extra={"parameters": [query]})(get_props)
    return routes
