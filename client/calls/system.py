"""The server itself: health, status, events, metrics, and the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from client.call import ApiCall, EventCall, body_of, known_fields, plain


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Memory of one device in bytes: `foreign` is used by other programs, `budget` is the limit for all workers."""

    id: str
    name: str
    kind: str
    total: int
    used: int
    foreign: int
    budget: int
    committed: int


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A process that serves one model. `leases` are the requests that it works on, `expires_in` is in seconds."""

    worker: str
    model: str
    state: str
    pid: int | None = None
    devices: list[str] = field(default_factory=list)
    leases: int = 0
    served: int = 0
    memory_bytes: int = 0
    idle_for: float | None = None
    expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class ModelState:
    """A configured model: its state, the requests that wait for it, and how its last worker failed.

    `download`, while it runs, has `bytes`, `total` and `file`.
    """

    id: str
    engine: str
    tasks: list[str]
    state: str
    waiting: int = 0
    footprint_bytes: int | None = None
    footprint_learned: bool = False
    failure: dict[str, Any] | None = None
    needs: str | None = None
    pinned: bool = False
    download: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What runs and what waits; `jobs` says how many of these are `queued` and `running`. `raw` has all fields."""

    version: str
    uptime: float
    seq: int
    waiting: int
    leases: int
    devices: list[DeviceMemory]
    workers: list[RunningWorker]
    models: list[ModelState]
    jobs: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """Something that happened. A `state` event has `from_` and `to`, a `progress` event `bytes` of its `total`."""

    seq: int
    time: float
    type: str
    model: str | None = None
    worker: str | None = None
    from_: str | None = None
    to: str | None = None
    reason: str | None = None
    bytes: int | None = None
    total: int | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ServerHistory:
    """The last hour, with a point every `interval` seconds, whose wall-clock `times` are in seconds.

    Lists have a value for each point: how many requests succeeded and `failed`, and how many tokens were generated,
    since the point before; how many requests were `waiting` and `running`. `devices` have the memory in bytes, by
    worker; `starts` are those of workers, by phase. `raw` has all fields.
    """

    interval: float
    times: list[float]
    seconds: list[float]
    requests: list[int]
    failed: list[int]
    tokens: list[int]
    images: list[int]
    waiting: list[int]
    running: list[int]
    devices: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ServerLog:
    """A log: `name` is that of a program or a model, `older` is how many rotated files come before it."""

    name: str
    kind: str
    bytes: int
    modified: float
    older: int = 0


@dataclass(frozen=True, slots=True)
class LogLines:
    """Lines of a log, each with its `position` and `text`, the oldest first. The page before ends at `before`."""

    name: str
    lines: list[dict[str, Any]]
    before: int
    end: int
    size: int
    older: int = 0
    has_older: bool = False


def health() -> ApiCall[dict[str, Any]]:
    """What the server says of itself."""
    return ApiCall("GET", "/health", plain)


def ready() -> ApiCall[bool]:
    """True if requests would be served; otherwise a ServerError says why not."""
    return ApiCall("GET", "/ready", lambda _: True)


def status() -> ApiCall[ServerStatus]:
    """Models, workers, devices and their memory, now."""
    return ApiCall("GET", "/v1/system/status", _status)


def history(since: float | None = None) -> ApiCall[ServerHistory]:
    """The last hour of memory and work; with `since`, only the points after that time, in seconds since 1970."""
    query = {} if since is None else {"since": f"{since:.3f}"}
    return ApiCall("GET", "/v1/system/history", _history, query=query)


def metrics() -> ApiCall[str]:
    """The metrics of gateway and manager, in Prometheus' text format."""
    return ApiCall("GET", "/metrics", str)


def reload() -> ApiCall[list[str]]:
    """Have the configuration read again. Returns what changed."""
    return ApiCall("POST", "/v1/system/reload", lambda document: list(document["changed"]))


def events(since: int | None = None) -> EventCall[ServerEvent]:
    """What happens, as it happens; with `since`, what happened after the event with that number comes first."""
    query = {} if since is None else {"since": str(since)}
    return EventCall("GET", "/v1/system/events", _event, query=query)


def logs(name: str, *, lines: int = 50, follow: bool = False, search: str = "") -> EventCall[str]:
    """The last lines of a model's log, or of `manager` or `gateway`; with `follow`, those that are written too.

    With `search`, only those of them that contain the text, in any case.
    """
    query = {"lines": str(lines), "follow": "true" if follow else "false", **({"search": search} if search else {})}
    return EventCall("GET", f"/v1/system/logs/{quote(name)}", lambda document: str(document["line"]), query=query)


def log_files() -> ApiCall[list[ServerLog]]:
    """The logs that there are: of the programs, and of models."""
    path = "/v1/system/logs"
    return ApiCall("GET", path, lambda document: [known_fields(ServerLog, row) for row in document["logs"]])


def log_page(
    name: str, *, lines: int = 200, before: int | None = None, search: str = "", older: int = 0
) -> ApiCall[LogLines]:
    """Lines of a log before a position, the oldest first, or those of them that contain a text."""
    wanted = {"lines": lines, "before": before, "search": search or None, "older": older or None}
    query = {key: str(value) for key, value in body_of(**wanted).items()}
    return ApiCall("GET", f"/v1/system/log-pages/{quote(name)}", lambda page: known_fields(LogLines, page), query=query)


def _status(document: dict[str, Any]) -> ServerStatus:
    return known_fields(
        ServerStatus,
        document,
        devices=[known_fields(DeviceMemory, row) for row in document["devices"]],
        workers=[known_fields(RunningWorker, row) for row in document["workers"]],
        models=[known_fields(ModelState, row) for row in document["models"]],
        raw=document,
    )


def _history(document: dict[str, Any]) -> ServerHistory:
    return known_fields(ServerHistory, document, raw=document)


def _event(document: dict[str, Any]) -> ServerEvent:
    return known_fields(ServerEvent, document, from_=document.get("from"), raw=document)
