"""What the manager did in the last hour: memory, requests, tokens and starts, as series of numbers for charts."""

from __future__ import annotations

from contract.lazy_model import LazyModel


class WorkerMemory(LazyModel):
    """The memory of one worker on a device, in bytes: at the point `first` and those after it. None: not measured."""

    worker: str
    model: str
    first: int
    bytes: list[int | None]


class DeviceHistory(LazyModel):
    """The memory of a device in bytes: all that is `used`, and of it what is `foreign`, of other programs."""

    id: str
    name: str
    kind: str
    total: int
    used: list[int]
    foreign: list[int]
    workers: list[WorkerMemory]


class ModelRate(LazyModel):
    """What a model does in a second now, on average over the last seconds."""

    model: str
    requests: float
    tokens: float
    images: float


class ColdStart(LazyModel):
    """A start of a worker that has ended; `phases` are in seconds. `error`: why the worker did not become ready.

    Phases: `process` (until its process exists), `imports` (of libraries; none for a standby), `load` (of the model),
    `measure` (of its memory).
    """

    time: float
    model: str
    worker: str
    seconds: float
    phases: dict[str, float]
    from_standby: bool = False
    error: str | None = None


class History(LazyModel):
    """The response of `GET /v1/system/history`. Every list has a value for each of the points in `times`.

    `times` are wall-clock seconds, `seconds` how long ago the point before was. In that time, so many `requests`
    succeeded and `failed`, so many `tokens` were generated, `prompt_tokens` were read and `images` were drawn or
    looked at. `waiting` and `running` are requests at that moment.
    """

    interval: float
    times: list[float]
    seconds: list[float]
    requests: list[int]
    failed: list[int]
    tokens: list[int]
    prompt_tokens: list[int]
    images: list[int]
    waiting: list[int]
    running: list[int]
    devices: list[DeviceHistory]
    models: list[ModelRate]
    starts: list[ColdStart]
