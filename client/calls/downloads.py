"""Downloads of models from the hub: started, followed byte by byte, and ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from client.call import ApiCall, EventCall, body_of, known_fields
from client.errors import ServerError, error_of


@dataclass(frozen=True, slots=True)
class DownloadReport:
    """How far a download is: `bytes` of its `total` are there. While it verifies them, that many are verified.

    `file` is the one at work. `state` is running, done, failed or cancelled, and `phase` listing, waiting, downloading
    or verifying.
    """

    id: str
    model: str
    source: str
    state: str
    phase: str | None = None
    bytes: int = 0
    total: int | None = None
    file: str | None = None
    bytes_per_second: int | None = None
    seconds_left: float | None = None
    error: dict[str, Any] | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def failure(self) -> ServerError | None:
        """Why it has ended without all of its files."""
        return error_of(self.error, 200) if self.error else None


def pull(model: str, revision: str | None = None) -> EventCall[DownloadReport]:
    """Download a configured model, one of the catalogue, or a repository of the hub, and follow that to its end.

    A download that runs already is followed too. It goes on if you stop listening. The last report has its end.
    """
    body = body_of(model=model, revision=revision, stream=True)
    return EventCall("POST", "/api/models/download", _download, body, own_errors=True)


def downloads() -> ApiCall[list[DownloadReport]]:
    """The downloads that run, and those that have ended lately."""
    return ApiCall("GET", "/api/models/downloads", lambda document: [_download(row) for row in document["downloads"]])


def cancel_download(download_id: str) -> ApiCall[DownloadReport]:
    """End a download. Files that are complete stay."""
    return ApiCall("DELETE", f"/api/models/downloads/{quote(download_id)}", _download)


def _download(row: dict[str, Any]) -> DownloadReport:
    return known_fields(DownloadReport, row, raw=row)
