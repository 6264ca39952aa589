"""The last requests of clients: what they asked for, how long each phase took, and how they ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from client.call import ApiCall, EventCall, body_of, known_fields, plain


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request of a client; `status` is None while it runs. Times are in seconds, `key` is the name of its key."""

    seq: int
    number: int
    id: str
    time: float
    method: str
    path: str
    model: str | None = None
    key: str | None = None
    status: int | None = None
    error: str | None = None
    seconds: float | None = None
    first_byte: float | None = None
    phases: dict[str, float] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


def requests(
    *,
    limit: int = 100,
    before: int | None = None,
    model: str | None = None,
    key: str | None = None,
    outcome: str | None = None,
    search: str | None = None,
) -> ApiCall[list[ServerRequest]]:
    """The last requests of clients, the newest first; `outcome` is `ok`, `failed` or `running`."""
    wanted = {"limit": limit, "before": before, "model": model, "key": key, "outcome": outcome, "search": search}
    query = {name: str(value) for name, value in body_of(**wanted).items()}
    path = "/v1/system/requests"
    return ApiCall("GET", path, lambda document: [_request(row) for row in document["requests"]], query=query)


def request_bodies(id_: str) -> ApiCall[dict[str, Any]]:
    """A request by its id, with what was `sent` and the `answer`, if the server captures them."""
    return ApiCall("GET", f"/v1/system/requests/{quote(id_, safe='')}", plain)


def watch_requests(since: int | None = None) -> EventCall[ServerRequest]:
    """Each request when it begins and when it has ended; with `since`, what changed after that `seq` comes first."""
    query = {} if since is None else {"since": str(since)}
    return EventCall("GET", "/v1/system/requests/events", _request, query=query, own_errors=True)


def _request(row: dict[str, Any]) -> ServerRequest:
    return known_fields(ServerRequest, row, raw=row)
