"""Models: those that are configured, the catalogue, and loading and evicting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from client.call import ApiCall, known_fields


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A configured model. `state` is that of its most advanced worker, `raw` has the fields that are not named here."""

    id: str
    tasks: list[str]
    engine: str
    state: str
    source: str = ""
    aliases: list[str] = field(default_factory=list)
    default_for: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    context_length: int | None = None
    dimensions: int | None = None
    memory_bytes: int | None = None
    size_bytes: int | None = None
    needs: str | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model of the catalogue. `configured` is the id of its entry in config.yaml, if it has one.

    `downloaded` is None if only an external server knows. `memory_gb` is the minimum in each precision.
    """

    id: str
    tasks: list[str]
    engine: str
    name: str = ""
    hub: str | None = None
    licence: str | None = None
    gated: bool | None = None
    size_mb: int | None = None
    memory_gb: dict[str, float] | None = None
    configured: str | None = None
    downloaded: bool | None = None
    state: str | None = None
    entry: dict[str, Any] | None = field(default=None, repr=False)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class OfferedTask:
    """Something that models do: `models` are those that do it. `raw` has all fields, such as the request's schema."""

    id: str
    title: str
    description: str
    path: str
    models: list[str]
    default_model: str | None = None
    streams: bool = False
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a request."""
        return dict(self.raw["request"]["schema"])


@dataclass(frozen=True, slots=True)
class EvictedModel:
    """The workers that have stopped, and the memory that is free again."""

    evicted: list[str]
    freed_bytes: int


@dataclass(frozen=True, slots=True)
class RemovedModel:
    """What was removed of a model: its `entry`, and the bytes of its files. `kept`: why its files stay."""

    model: str
    entry: bool
    freed_bytes: int
    kept: str | None = None


def list_models(task: str | None = None) -> ApiCall[list[ListedModel]]:
    """The configured models, or those that do a task."""
    query = {"task": task} if task else {}
    return ApiCall("GET", "/v1/models", lambda document: [_model(row) for row in document["data"]], query=query)


def get_model(model: str) -> ApiCall[ListedModel]:
    """One configured model by its id or an alias."""
    return ApiCall("GET", f"/v1/models/{quote(model)}", _model)


def catalogue(task: str | None = None) -> ApiCall[list[CatalogueModel]]:
    """The known models, configured or not, or those for a task."""
    path = f"/api/models/{quote(task)}" if task else "/api/models"
    return ApiCall("GET", path, lambda document: [_known(row) for row in document["models"]])


def known_model(model: str) -> ApiCall[CatalogueModel]:
    """One known model by its id, its name at the hub, or an alias."""
    return ApiCall("GET", f"/api/models/{quote(model)}", _known)


def tasks() -> ApiCall[list[OfferedTask]]:
    """What models can be asked to do, with the schema of each request."""
    return ApiCall("GET", "/v1/tasks", lambda document: [_task(row) for row in document["data"]])


def task(name: str) -> ApiCall[OfferedTask]:
    """One task by its name."""
    return ApiCall("GET", f"/v1/tasks/{quote(name)}", _task)


def load(model: str) -> ApiCall[str]:
    """Load a model, wait until it is loaded, and return its id."""
    return ApiCall("POST", "/models/load", _id_of_loaded, {"model_id": model})


def pin(model: str) -> ApiCall[str]:
    """Keep a model's workers: neither idleness nor other models end them. Returns its id."""
    return ApiCall("POST", "/models/pin", _id_of_loaded, {"model_id": model})


def unpin(model: str) -> ApiCall[str]:
    """Let a model's workers end again. Returns its id."""
    return ApiCall("POST", "/models/unpin", _id_of_loaded, {"model_id": model})


def add_model(entry: str | Mapping[str, Any], **changes: Any) -> ApiCall[ListedModel]:
    """Add an entry to the server's config.yaml, or that of the catalogue for a name; `changes` replace parts of it."""
    body = {"model": entry} if isinstance(entry, str) else dict(entry)
    return ApiCall("POST", "/api/models", _added, {**body, **changes})


def remove_model(model: str, *, entry: bool = False, files: bool = True) -> ApiCall[RemovedModel]:
    """Remove a model's files and, with `entry`, its entry in config.yaml."""
    query = {"entry": str(entry).lower(), "files": str(files).lower()}
    path = f"/api/models/{quote(model)}"
    return ApiCall("DELETE", path, lambda document: known_fields(RemovedModel, document), query=query)


def evict(model: str, *, force: bool = False) -> ApiCall[EvictedModel]:
    """Stop a model's workers after their requests, or with `force` at once, and free their memory."""
    path = f"/v1/system/evict/{quote(model)}"
    query = {"force": "true"} if force else {}
    return ApiCall("POST", path, lambda document: known_fields(EvictedModel, document), query=query)


def _id_of_loaded(document: dict[str, Any]) -> str:
    return str(document["model_info"]["model"])


def _added(document: dict[str, Any]) -> ListedModel:
    return known_fields(ListedModel, document, default_for=document.get("default", []), raw=document)


def _task(row: dict[str, Any]) -> OfferedTask:
    return known_fields(OfferedTask, row, raw=row)


def _model(row: dict[str, Any]) -> ListedModel:
    return known_fields(ListedModel, row, raw=row)


def _known(row: dict[str, Any]) -> CatalogueModel:
    return known_fields(CatalogueModel, row, raw=row)
