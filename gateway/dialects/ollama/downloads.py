"""Downloads and removals in the form of Ollama's API: lines of progress, of which the last is `success` or an error."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, ClassVar

from contract.errors import InvalidField, ModelNotFound
from contract.known_fields import FieldTable, neutral
from contract.limits import Name
from contract.omittable import Omittable
from contract.status import DownloadState, DownloadStatus, Status
from gateway.dialects.dialect import DialectRequest, DialectResponse, ModelAction
from gateway.dialects.ollama.conversation import known_name
from gateway.forwarding.model_table import ModelTable

_HUBS = ("hf.co/", "huggingface.co/")
_STATES = {"listing": "pulling manifest", "waiting": "pulling manifest", "verifying": "verifying sha256 digest"}


class NamedModelRequest(DialectRequest):
    """`name` is an older form of `model`."""

    known_fields: ClassVar[FieldTable] = neutral("Ollama", "insecure")

    model: Name | None = None
    name: Name | None = None

    @property
    def wanted(self) -> str:
        """The model's name. Raises InvalidField if there is none."""
        if name := self.model or self.name:
            return name
        raise InvalidField("`model`: this field is required.", param="model")


class PullRequest(NamedModelRequest):
    """A model to download. Progress is streamed unless `stream` is false."""

    stream: bool = True


class PullLine(DialectResponse):
    """How far a download is: `completed` of `total` bytes. `error` is why it has ended."""

    status: Omittable[str] = None
    digest: Omittable[str] = None
    total: Omittable[int] = None
    completed: Omittable[int] = None
    error: Omittable[str] = None


def to_pull(request: PullRequest, models: ModelTable) -> Sequence[ModelAction]:
    """Download a model of ours, one of the catalogue, or `hf.co/organisation/model`."""
    name = known_name(request.wanted, models)
    for hub in _HUBS:
        name = name.removeprefix(hub)
    return [ModelAction("download", name)]


def lines(status: DownloadStatus) -> list[PullLine]:
    """The lines for a state of the download."""
    if status.state is DownloadState.DONE:
        return [PullLine(status="writing manifest"), PullLine(status="success")]
    if status.state is not DownloadState.RUNNING:
        return [PullLine(error=(status.error or {}).get("message") or f"the download was {status.state}")]
    if state := _STATES.get(status.phase or ""):
        return [PullLine(status=state)]
    digest = hashlib.sha256(status.source.encode()).hexdigest()
    progress: dict[str, Any] = {"digest": f"sha256:{digest}", "total": status.total, "completed": status.bytes}
    return [PullLine(status=f"pulling {digest[:12]}", **progress)]


def to_delete(request: NamedModelRequest, models: ModelTable) -> Sequence[ModelAction]:
    """Remove a model: its entry, and the files that were downloaded for it. Raises ModelNotFound."""
    name = known_name(request.wanted, models)
    model = models.get(name)
    if name in model.presets:
        raise ModelNotFound(f"{name!r} is a preset of {model.id}: remove it from that entry in config.yaml.")
    return [ModelAction("remove", model.id)]


def from_delete(_: NamedModelRequest, __: Status) -> DialectResponse:
    """Nothing: clients look at the status alone."""
    return DialectResponse()
