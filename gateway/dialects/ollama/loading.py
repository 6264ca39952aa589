"""Requests that only load a model, because they have no text: `keep_alive` says for how long, and 0 unloads it."""

from __future__ import annotations

from typing import Any

from contract.tasks import Task
from contract.tasks.chat import CHAT
from contract.tasks.embeddings import EMBEDDINGS
from gateway.dialects.dialect import ActedAnswer, DialectRequest, ModelAction
from gateway.dialects.ollama.answer import (
    OllamaEmbeddingsResponse,
    OllamaEmbedResponse,
    WrittenMessage,
    answered,
)
from gateway.dialects.ollama.conversation import known_name
from gateway.dialects.ollama.request import (
    GenerationRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
)
from gateway.forwarding.model_table import ModelTable


def for_answers(request: GenerationRequest, table: ModelTable) -> ActedAnswer | None:
    """What a request without a prompt or messages does; None if it has one."""
    if not request.is_empty:
        return None
    action = _action(request, request.model, table, CHAT)
    ending = {"done_reason": action.kind}
    return ActedAnswer(action, lambda created: answered(request, created, WrittenMessage(), None, **ending))


def for_vectors(request: OllamaEmbedRequest, table: ModelTable) -> ActedAnswer | None:
    """What a request without a text to embed does; None if it has one."""
    if request.input:
        return None
    answer = OllamaEmbedResponse(model=request.model, embeddings=[], prompt_eval_count=0)
    return ActedAnswer(_action(request, request.model, table, EMBEDDINGS), lambda _: answer)


def for_vector(request: OllamaEmbeddingsRequest, table: ModelTable) -> ActedAnswer | None:
    """What a request without a text to embed does, at the older path; None if it has one."""
    if request.prompt:
        return None
    answer = OllamaEmbeddingsResponse(embedding=[])
    return ActedAnswer(_action(request, request.model, table, EMBEDDINGS), lambda _: answer)


def _action(request: DialectRequest, name: str, table: ModelTable, task: Task[Any, Any]) -> ModelAction:
    """Load or unload the model. Raises ModelNotFound, and UnsupportedTask for a model that is for other tasks."""
    model = table.choose(task.name, known_name(name, table))
    if request.keep_alive == 0:
        return ModelAction("unload", model.id)
    return ModelAction("load", model.id, keep_alive=request.keep_alive)
