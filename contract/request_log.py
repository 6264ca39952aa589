"""The last requests of clients, as the gateway lists them."""

from __future__ import annotations

from contract.lazy_model import LazyModel


class LoggedRequest(LazyModel):
    """One request. `status` and `seconds` are null while it runs; `key` is the name of its key, never the key itself.

    `phases` are the seconds in the queue, loading the model and inferring, as `Server-Timing` has them; of a stream,
    `infer` ends with its first piece. `first_byte` is when the answer began. `error` is the code of the error. `seq`
    is the number of its last change.
    """

    seq: int
    number: int
    id: str
    time: float
    method: str
    path: str
    model: str | None = None
    key: str | None = None
    client: str | None = None
    job: bool = False
    stream: bool = False
    status: int | None = None
    error: str | None = None
    seconds: float | None = None
    first_byte: float | None = None
    phases: dict[str, float] = {}
    bytes_sent: int = 0


class CapturedImage(LazyModel):
    """An image in a body: the field that held it, its size, and a small JPEG of it as a `data:` URL."""

    field: str
    bytes: int
    width: int
    height: int
    thumbnail: str


class CapturedBody(LazyModel):
    """A body as text, in which words stand for images. `cut`: it was longer. `bytes` is the size of all of it."""

    content_type: str
    bytes: int
    text: str
    cut: bool
    images: list[CapturedImage] = []


class CapturedRequest(LazyModel):
    """The response of `GET /v1/system/requests/{id}`. Bodies are null if they are empty, or not `captured`."""

    request: LoggedRequest
    captured: bool
    sent: CapturedBody | None = None
    answer: CapturedBody | None = None


class LoggedRequests(LazyModel):
    """The response of `GET /v1/system/requests`: the newest first. Of all requests, the last `kept` are listed.

    `seq` is the number of the last change, from which on the stream of events goes on.
    """

    seq: int
    kept: int
    requests: list[LoggedRequest]
