"""The models in the form of Ollama's API: those that there are, those that are loaded, and one in detail."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from contract.errors import InvalidField, UnsupportedFeature
from contract.lazy_model import LazyModel
from contract.omittable import Omittable
from contract.status import LOADED, ModelStatus, Status
from gateway.dialects.dialect import DialectResponse, ModelAction
from gateway.dialects.ollama.answer import timestamp
from gateway.dialects.ollama.conversation import LATEST, known_name
from gateway.dialects.ollama.request import ShowRequest
from gateway.forwarding.model_table import ModelTable

API_VERSION = "0.12.11"
"""The version of Ollama whose API is served, by which clients decide what they may send."""
_NEVER = "2318-01-01T00:00:00Z"
"""Ollama's own servers name a time of that year for models that stay."""
_ARCHITECTURE = "enginehouse"
"""The prefix of keys in `model_info`: clients read it as `general.architecture` first."""


class ModelDetails(LazyModel):
    """What is known of a model's files; empty texts are unknown."""

    parent_model: str = ""
    format: str = ""
    family: str = ""
    families: Sequence[str] = ()
    parameter_size: str = ""
    quantization_level: str = ""


class TaggedModel(LazyModel):
    """A model. `size` is that of its files in bytes, 0 if they are not on this machine."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: ModelDetails


class TagsResponse(LazyModel):
    """All models and presets that chat or embed."""

    models: list[TaggedModel]


class RunningModel(LazyModel):
    """A loaded model; sizes are measured, in bytes."""

    name: str
    model: str
    size: int
    size_vram: int
    digest: str
    details: ModelDetails
    context_length: Omittable[int] = None
    expires_at: str


class PsResponse(LazyModel):
    """The loaded models."""

    models: list[RunningModel]


class ShowResponse(DialectResponse):
    """What is known of a model. `capabilities` are what clients may ask of it."""

    modelfile: str = ""
    parameters: str = ""
    template: str = ""
    license: str = ""
    details: ModelDetails
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class VersionResponse(LazyModel):
    """The version of the API."""

    version: str


class RefusedResponse(LazyModel):
    """Nothing: this path only answers with an error."""


def tags(_: None, status: Status) -> TagsResponse:
    """The models, each under a name with a tag."""
    named = [(model, name) for model in status.models if _is_listed(model) for name in (model.id, *model.presets)]
    return TagsResponse(models=[_listed(model, name) for model, name in named])


def ps(_: None, status: Status) -> PsResponse:
    """The models that have a worker."""
    models = {model.id: model for model in status.models}
    on_cpu = {device.id for device in status.devices if device.kind == "cpu"}
    running = []
    for worker in status.workers:
        model = models.get(worker.model)
        if model is None or worker.state not in LOADED:
            continue
        in_vram = not set(worker.devices) <= on_cpu
        memory = worker.memory_bytes
        fields: dict[str, Any] = {
            "size": memory,
            "size_vram": memory if in_vram else 0,
            "context_length": model.facts.context_length,
        }
        fields["expires_at"] = _NEVER if worker.expires_at is None else timestamp(worker.expires_at)
        running.append(RunningModel(**_identity(model, model.id), **fields))
    return PsResponse(models=running)


def check_shown(request: ShowRequest, models: ModelTable) -> Sequence[ModelAction]:
    """Raises ModelNotFound or InvalidField; describing a model does nothing to it."""
    models.get(known_name(_shown(request), models))
    return ()


def show(request: ShowRequest, status: Status) -> ShowResponse:
    """One model."""
    models = ModelTable(status.models)
    model = models.get(known_name(_shown(request), models))
    facts = model.facts
    sizes = {"context_length": facts.context_length, "embedding_length": facts.dimensions}
    info = {f"{_ARCHITECTURE}.{name}": size for name, size in sizes.items() if size is not None}
    return ShowResponse(
        details=_details(model),
        model_info={"general.architecture": _ARCHITECTURE, **info},
        capabilities=_capabilities(model),
        modified_at=timestamp(model.created),
    )


def version(_: None, __: Status) -> VersionResponse:
    """The version of the API that is served."""
    return VersionResponse(version=API_VERSION)


def refuse(why: str) -> Callable[[None, ModelTable], Sequence[ModelAction]]:
    """Actions of a path that makes no sense here, with the sentence that says what to do instead."""

    def actions(_: None, __: ModelTable) -> Sequence[ModelAction]:
        raise UnsupportedFeature(why)

    return actions


def _shown(request: ShowRequest) -> str:
    if name := request.model or request.name:
        return name
    raise InvalidField("`model`: this field is required.", param="model")


def _is_listed(model: ModelStatus) -> bool:
    return bool({"chat", "embeddings"} & set(model.tasks))


def _listed(model: ModelStatus, name: str) -> TaggedModel:
    return TaggedModel(**_identity(model, name), modified_at=timestamp(model.created), size=model.weights_bytes or 0)


def _identity(model: ModelStatus, name: str) -> dict[str, Any]:
    """The fields that say which model it is. Clients expect a digest, which names the entry and not its files."""
    tagged = name if ":" in name else name + LATEST
    digest = hashlib.sha256(f"{name} {model.source}".encode()).hexdigest()
    return {"name": tagged, "model": tagged, "digest": digest, "details": _details(model)}


def _details(model: ModelStatus) -> ModelDetails:
    return ModelDetails(quantization_level=model.facts.quantization or "")


def _capabilities(model: ModelStatus) -> list[str]:
    chats = "chat" in model.tasks
    able = {"tools": "tools", "images": "vision", "reasoning": "thinking"}
    names = ["completion"] if chats else []
    names += [name for feature, name in able.items() if chats and feature in model.features]
    return [*names, "embedding"] if "embeddings" in model.tasks else names
