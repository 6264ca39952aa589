"""What the manager reports: models, workers, devices and the events between them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class State(StrEnum):
    """The life of a worker. `backoff` and `stopped` are also what a model shows that has none."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"
    BACKOFF = "backoff"


class Event(BaseModel):
    """Something that happened, numbered without gaps; `GET /v1/system/events` streams them.

    `bytes` and `total` are progress while loading, or memory in bytes where `type` says so.
    """

    model_config = ConfigDict(populate_by_name=True)

    seq: int
    time: float
    type: str
    model: str | None = None
    worker: str | None = None
    from_: State | None = Field(default=None, alias="from")
    to: State | None = None
    reason: str | None = None
    bytes: int | None = None
    total: int | None = None


class WorkerStatus(BaseModel):
    """One process: `worker` is `model#n`; memory in bytes, times in seconds."""

    worker: str
    model: str
    state: State
    pid: int | None = None
    url: str | None = None
    devices: tuple[str, ...] = ()
    leases: int = 0
    served: int = 0
    memory_bytes: int = 0
    started_at: float | None = None
    ready_after: float | None = None
    from_standby: bool = False
    idle_for: float | None = None
    expires_in: float | None = None


class Failure(BaseModel):
    """How a model's last worker ended badly: its exit code and the last lines that it wrote."""

    time: float
    reason: str
    exit_code: int | None = None
    log_tail: str = ""
    retry_at: float | None = None


class ModelStatus(BaseModel):
    """One configured model: what it is, what it does, and the state of its best worker."""

    id: str
    engine: str
    tasks: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    default: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    defaults: dict[str, Any] = {}
    passthrough: str | None = None  # set for a foreign server: what its requests' `model` becomes
    source: str = ""
    created: int = 0
    max_wait: float = 600.0  # seconds
    state: State = State.STOPPED
    waiting: int = 0
    footprint_bytes: int | None = None
    footprint_learned: bool = False
    failure: Failure | None = None


class DeviceStatus(BaseModel):
    """Memory of one device in bytes: `budget` is what the house may hand out of it now."""

    id: str
    name: str
    kind: str
    total: int
    used: int
    foreign: int
    budget: int
    committed: int


class Status(BaseModel):
    """`GET /v1/system/status`."""

    version: str
    uptime: float
    seq: int
    waiting: int
    leases: int
    devices: list[DeviceStatus]
    workers: list[WorkerStatus]
    models: list[ModelStatus]
    standbys: list[dict[str, Any]] = []
    leaks: list[dict[str, Any]] = []
