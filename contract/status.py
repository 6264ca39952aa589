"""The manager's status reports: models, workers, devices, and events."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import ConfigDict, Field

from contract.lazy_model import LazyModel


class State(StrEnum):
    """The state of a worker. A model without a worker is `stopped` or in `backoff`."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"
    BACKOFF = "backoff"


LOADED = frozenset({State.READY, State.DRAINING})
"""The states of a worker that has its model in memory and answers requests."""
UP = frozenset({State.STARTING, State.READY})
"""The states of a worker that stays."""
LEAVING = frozenset({State.DRAINING, State.STOPPING})
"""The states of a worker whose memory comes back, unless it is resumed."""


class Event(LazyModel):
    """An event of the stream `GET /v1/system/events`, numbered without gaps.

    `bytes` and `total` are the progress of loading or, for events about memory, an amount of memory; both in bytes.
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


class DownloadState(StrEnum):
    """The state of a download."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DownloadStatus(LazyModel):
    """A download from the hub, which `model` began.

    `bytes` of `total` are on the disk; while verifying, they are verified.

    `file` is being received or verified; of several at once, it is the one that has the most bytes.

    `phase` is listing, waiting (for another program that downloads the same), downloading or verifying. `error` is that
    of an error envelope.
    """

    id: str
    model: str
    source: str
    revision: str | None = None
    state: DownloadState
    phase: str | None = None
    bytes: int = 0
    total: int | None = None
    file: str | None = None
    bytes_per_second: int | None = None
    seconds_left: float | None = None
    started: float = 0.0
    error: dict[str, Any] | None = None


class LocalCopy(LazyModel):
    """What of a model is on this machine. `downloaded`: whether it starts without a download; None: unknown.

    `disk_bytes` are those of all its files, partial ones included.
    """

    downloaded: bool | None = None
    disk_bytes: int = 0

    @property
    def partly(self) -> bool:
        """Whether a download has begun and not ended."""
        return self.downloaded is False and self.disk_bytes > 0


EngineActivity = Literal["idle", "working", "abandoned"]
"""What an engine does; `abandoned`: it works on what no client waits for any more."""


class WorkerStatus(LazyModel):
    """One worker process: `worker` is `model#n`; memory is in bytes, times in seconds."""

    worker: str
    model: str
    state: State
    pid: int | None = None
    url: str | None = None
    devices: tuple[str, ...] = ()
    leases: int = 0
    served: int = 0
    memory_bytes: int = 0
    engine: EngineActivity | None = None  # of an external server, it is unknown
    cache_bytes: dict[str, int] = {}  # of it, what is kept for later: `prefix_cache`, `image_cache`, `buffer_cache`
    started_at: float | None = None
    ready_after: float | None = None
    from_standby: bool = False
    idle_for: float | None = None
    expires_in: float | None = None
    expires_at: float | None = None  # wall-clock time, if no request comes before; None: never


class Failure(LazyModel):
    """How a model's last worker failed: its exit code and the last lines of its log.

    `permanent`: no attempt can succeed before something is put right.
    """

    time: float
    reason: str
    exit_code: int | None = None
    out_of_memory: bool = False
    permanent: bool = False
    log_tail: str = ""
    retry_at: float | None = None


class ModelFacts(LazyModel):
    """What is known of a model: first from its files, exactly once it was loaded. None: unknown, or not applicable.

    `context_length` is in tokens, `dimensions` is the length of its vectors. `tools` and `reasoning` are the forms in
    which the model calls tools and thinks, or `no, because …`. `sandbox`: whether the browser of a crawler confines its
    pages, `yes` or `no: …`. `voices` are the names of those that read texts aloud.
    """

    model_config = ConfigDict(frozen=True)

    context_length: int | None = None
    dimensions: int | None = None
    quantization: str | None = None
    tools: str | None = None
    reasoning: str | None = None
    sandbox: str | None = None
    voices: list[str] | None = None

    def updated(self, newer: ModelFacts) -> ModelFacts:
        """These facts, replaced by the newer ones that are known."""
        return self.model_copy(update=newer.model_dump(exclude_none=True))


class ModelFileStatus(LazyModel):
    """The file of a model that is a single file; `size` is in bytes."""

    name: str
    path: str
    size: int
    extension: str


class ModelFolderStatus(LazyModel):
    """The folders of `manager.model_dirs`: which exist, how many models they have, and which file is being hashed.

    `hashed_bytes` of its `total_bytes` are done; `waiting` files come after it.
    """

    folders: list[str] = []
    missing: list[str] = []
    files: int = 0
    hashing: str | None = None
    hashed_bytes: int = 0
    total_bytes: int = 0
    waiting: int = 0


class ModelStatus(LazyModel):
    """One configured model: what it is, what it does, and the state of its most advanced worker."""

    id: str
    engine: str
    tasks: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    default: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    defaults: dict[str, Any] = {}
    normalize_images: bool = False  # of an external server: it gets images as engines do
    passthrough: str | None = None  # for an external server: the name it expects as a request's `model`
    source: str = ""
    created: int = 0
    max_wait: float = 600.0  # seconds
    state: State = State.STOPPED
    waiting: int = 0
    facts: ModelFacts = ModelFacts()
    weights_bytes: int | None = None  # its files; None if they are not on this machine
    footprint_bytes: int | None = None
    footprint_learned: bool = False
    failure: Failure | None = None
    joins: str | None = None  # whether chat requests share steps, `yes` or `no, because …`; known once it was loaded
    file: ModelFileStatus | None = None
    needs: str | None = None  # what its entry lacks before it can start, such as consent to code that comes with it
    pinned: bool = False  # neither idleness nor other models end its workers
    scanned: bool = False  # it was found in a folder of `manager.model_dirs`
    download: DownloadStatus | None = None  # of its files, while it runs
    fits: bool | None = None  # whether this machine can ever have room for it; None: its size is not known

    @property
    def hub_id(self) -> str | None:
        """The model's name at the hub; None for a folder or file of this machine, or of a package."""
        is_local = self.source.startswith(("/", ".", "~", "package:")) or self.file is not None
        return self.source if self.source.count("/") == 1 and not is_local else None

    @property
    def public_source(self) -> str:
        """Its source for every client: of a folder or file of this machine, only the last part of the path."""
        is_path = self.source.startswith(("/", ".", "~"))
        return self.source.rstrip("/").rpartition("/")[2] if is_path else self.source


class ConfigurationStatus(LazyModel):
    """Which configuration is in force. `error`: why the file is not, so that the last valid one stays.

    Without `has_file`, the default models are in force. `needs_restart`: changed keys that are read at a start only.
    """

    path: str = ""
    has_file: bool = True
    applied_at: float = 0.0
    error: str | None = None
    error_at: float | None = None
    needs_restart: list[str] = []


class DeviceStatus(LazyModel):
    """Memory of one device in bytes: `foreign` is used by other programs, `budget` is the limit for all our workers."""

    id: str
    name: str
    kind: str
    total: int
    used: int
    foreign: int
    budget: int
    committed: int


class Status(LazyModel):
    """The response of `GET /v1/system/status`."""

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
    waits: list[dict[str, Any]] = []  # the waiting requests in their order, and what each waits for
    model_folders: ModelFolderStatus = ModelFolderStatus()
    configuration: ConfigurationStatus = ConfigurationStatus()
    downloads: list[DownloadStatus] = []  # those that run
