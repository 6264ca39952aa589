"""Ollama's API, for its clients. Names with the tag `:latest` are models without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from contract.tasks.chat import CHAT, ChatRequest
from contract.tasks.completions import COMPLETIONS, CompletionRequest
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsRequest
from gateway.dialects.dialect import ApiDialect, ControlRoute, DialectResponse, DialectRoute, TaskAnswer, TaskQuery
from gateway.dialects.ollama import answer, downloads, loading, models
from gateway.dialects.ollama.conversation import can_truncate, chat_of, chat_of_prompt, completion_of, known_name
from gateway.dialects.ollama.errors import OLLAMA_ERRORS
from gateway.dialects.ollama.request import (
    GenerationRequest,
    OllamaChatRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
    ShowRequest,
)
from gateway.forwarding.model_table import ModelTable


def _to_chat(request: OllamaChatRequest, table: ModelTable) -> Sequence[TaskQuery]:
    return [TaskQuery(CHAT, ChatRequest(**chat_of(request, table)), warnings=_warnings(request, table))]


def _to_prompt(request: OllamaGenerateRequest, table: ModelTable) -> Sequence[TaskQuery]:
    if request.is_completion:
        return [TaskQuery(COMPLETIONS, CompletionRequest(**completion_of(request, table)))]
    chat = ChatRequest(**chat_of_prompt(request, table))
    return [TaskQuery(CHAT, chat, {"messages": "prompt"}, _warnings(request, table))]


def _warnings(request: GenerationRequest, table: ModelTable) -> Sequence[str]:
    return (_NO_TRUNCATION,) if request.truncate and not can_truncate(request.model, table) else ()


def _from_chat(request: GenerationRequest, answers: Sequence[TaskAnswer]) -> answer.OllamaAnswer:
    return answer.whole(request, answers[0].response)


def _from_prompt(request: OllamaGenerateRequest, answers: Sequence[TaskAnswer]) -> answer.OllamaAnswer:
    return (answer.completed if request.is_completion else answer.whole)(request, answers[0].response)


def _to_embed(request: OllamaEmbedRequest, table: ModelTable) -> Sequence[TaskQuery]:
    fields = request.model_dump(include={"input", "dimensions"}, exclude_none=True) | _cutting(request, table)
    return [TaskQuery(EMBEDDINGS, EmbeddingsRequest(model=known_name(request.model, table), **fields))]


def _cutting(request: OllamaEmbedRequest | OllamaEmbeddingsRequest, table: ModelTable) -> dict[str, Any]:
    """Ollama cuts texts that are too long unless the request says otherwise; here its model's entry may, too."""
    if request.truncate is not None:
        return {"truncate": request.truncate}
    model = table.choose(EMBEDDINGS.name, known_name(request.model, table))
    return {"truncate": True} if "truncate" in model.features and "truncate" not in model.defaults else {}


def _from_embed(request: OllamaEmbedRequest, answers: Sequence[TaskAnswer]) -> answer.OllamaEmbedResponse:
    return answer.embed(request.model, answers[0].response)


def _to_embeddings(request: OllamaEmbeddingsRequest, table: ModelTable) -> Sequence[TaskQuery]:
    fields = {"model": known_name(request.model, table), "input": request.prompt}
    fields |= _cutting(request, table)
    return [TaskQuery(EMBEDDINGS, EmbeddingsRequest(**fields), {"input": "prompt"})]


def _from_embeddings(_: Any, answers: Sequence[TaskAnswer]) -> answer.OllamaEmbeddingsResponse:
    return answer.OllamaEmbeddingsResponse(embedding=answers[0].response.data[0].embedding)


_NO_TRUNCATION = "`truncate` had no effect: this model's engine refuses a conversation that is too long."
_OPTIONS = dict.fromkeys(("max_tokens", "temperature", "top_k", "top_p", "min_p", "stop", "seed"), "options")
_FIELDS = {**_OPTIONS, "repeat_penalty": "options", "response_format": "format"}
_ENDED = {"done": True, "done_reason": "stop", "total_duration": 5_000_000_000, "eval_count": 8}
_COMMON = {"model": "vlm-best", "created_at": "2026-11-26T09:00:00Z", **_ENDED}
_DETAILS = {"format": "", "family": "", "quantization_level": "4bit"}
_LISTED = {"name": "vlm-best:latest", "model": "vlm-best:latest", "size": 16_000_000_000, "details": _DETAILS}
_NO_COPIES = "Models are entries in config.yaml: give an entry another name under `aliases`, or `presets` to change it."
_REFUSED: tuple[tuple[Literal["POST"], str, str, str], ...] = (
    ("POST", "/api/copy", "Refused: copies a model", _NO_COPIES),
    ("POST", "/api/create", "Refused: creates a model", _NO_COPIES),
    ("POST", "/api/push", "Refused: uploads a model", "Enginehouse uploads no models."),
)

OLLAMA = ApiDialect(
    name="ollama",
    title="Ollama API",
    description="Chats, texts, embeddings and models as Ollama's clients know them, streamed as lines of JSON.",
    errors=OLLAMA_ERRORS,
    json_of_any_type=True,
    routes=(
        DialectRoute(
            "/api/chat", "Continue a conversation", OllamaChatRequest, answer.OllamaChatResponse,
            _to_chat, _from_chat, (CHAT,),
            {"model": "vlm-best", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "stream": False},
            {**_COMMON, "message": {"role": "assistant", "content": "Air scatters blue light most."}},
            _FIELDS, answer.OllamaEvents, "ndjson", to_action=loading.for_answers,
        ),
        DialectRoute(
            "/api/generate", "Answer a text", OllamaGenerateRequest, answer.OllamaGenerateResponse,
            _to_prompt, _from_prompt, (CHAT, COMPLETIONS),
            {"model": "vlm-best", "prompt": "Why is the sky blue?", "stream": False},
            {**_COMMON, "response": "Air scatters blue light most."}, _FIELDS, answer.events, "ndjson",
            to_action=loading.for_answers,
        ),
        DialectRoute(
            "/api/embed", "Embed texts", OllamaEmbedRequest, answer.OllamaEmbedResponse, _to_embed, _from_embed,
            (EMBEDDINGS,), {"model": "minilm", "input": ["A cat sleeps.", "A kitten naps."]},
            {"model": "minilm", "embeddings": [[0.1, 0.2], [0.1, 0.3]], "prompt_eval_count": 12}, selector="input",
            to_action=loading.for_vectors,
        ),
        DialectRoute(
            "/api/embeddings", "Embed a text", OllamaEmbeddingsRequest, answer.OllamaEmbeddingsResponse,
            _to_embeddings, _from_embeddings, (EMBEDDINGS,), {"model": "minilm", "prompt": "A cat sleeps."},
            {"embedding": [0.1, 0.2]}, to_action=loading.for_vector,
        ),
    ),
    controls=(
        ControlRoute(
            "GET", "/api/tags", "The models", models.TagsResponse, lambda *_: (), models.tags, {"models": [_LISTED]},
        ),
        ControlRoute(
            "GET", "/api/ps", "The loaded models", models.PsResponse, lambda *_: (), models.ps,
            {"models": [{**_LISTED, "size_vram": 16_000_000_000}]},
        ),
        ControlRoute(
            "POST", "/api/show", "One model", models.ShowResponse, models.check_shown, models.show,
            {"details": _DETAILS, "capabilities": ["completion", "vision"]}, ShowRequest, {"model": "vlm-best"},
        ),
        ControlRoute(
            "GET", "/api/version", "The version of the API", models.VersionResponse, lambda *_: (), models.version,
            {"version": models.API_VERSION},
        ),
        ControlRoute(
            "POST", "/api/pull", "Download a model", downloads.PullLine, downloads.to_pull,
            lambda *_: downloads.PullLine(status="success"), {"status": "success"},
            downloads.PullRequest, {"model": "smolvlm", "stream": False}, admin=True, progress=downloads.lines,
        ),
        ControlRoute(
            "DELETE", "/api/delete", "Remove a model", DialectResponse, downloads.to_delete, downloads.from_delete, {},
            downloads.NamedModelRequest, {"model": "smolvlm"}, admin=True,
        ),
        *(
            ControlRoute(
                method, path, summary, models.RefusedResponse, models.refuse(why),
                lambda *_: models.RefusedResponse(), {},
            )
            for method, path, summary, why in _REFUSED
        ),
    ),
)  # fmt: skip
