"""GET /v1/audio/voices: the voices of models that read texts aloud, where Open WebUI and others look for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.errors import NotFound
from contract.status import ModelStatus
from contract.tasks.speech import SPEECH
from gateway.forwarding.model_directory import ModelDirectory
from gateway.routes.models import query_parameter


def entries(models: Iterable[ModelStatus]) -> list[dict[str, Any]]:
    """The voices of models, each with its model. A model whose files are not on this machine yet has none."""
    return [{"id": name, "name": name, "model": model.id} for model in models for name in model.facts.voices or ()]


def router(directory: ModelDirectory) -> APIRouter:
    """The route."""
    routes = APIRouter(tags=["models"])

    async def list_voices(request: Request) -> Response:
        """The voices of the model `?model=`; without it, of all models that read texts aloud."""
        table = await directory.current()
        name = request.query_params.get("model")
        if name is None:
            return JSONResponse({"voices": entries(model for model in table.models if SPEECH.name in model.tasks)})
        model = table.choose(SPEECH.name, name)
        if table.is_external(model):
            raise NotFound(
                f"{model.id} is an external server: ask it at GET /upstream/{model.id}/v1/audio/voices.", param="model"
            )
        return JSONResponse({"voices": entries([model])})

    query = query_parameter("model", "string", "a model's id, or an alias of it; without it, all that speak", "kokoro")
    routes.get(
        "/v1/audio/voices", summary="Voices that read texts aloud", response_model=None,
        openapi_extra={"parameters": [query]},
    )(list_voices)  # fmt: skip
    return routes
