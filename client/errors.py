"""The error that every function of the client raises."""

from __future__ import annotations

from typing import Any

import httpx2


class ServerError(Exception):
    """The server refused a request, or could not be reached. `status` is 0 if it could not be reached.

    `code` is the error's name for programs, `param` the field that is wrong, `details` has values for programs, and
    `retry_after` the seconds after which the server suggests another attempt.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        code: str | None = None,
        *,
        param: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.details = details or {}
        self.retry_after = retry_after
        self.request_id = request_id


def error_in(response: httpx2.Response) -> ServerError:
    """The error that a response describes. Its body has been read."""
    try:
        body = response.json()
        error = body["error"]
        if isinstance(error, str):  # on paths of APIs whose errors are texts, with our own fields beside them
            error = {**body, "message": error}
        return error_of(error, response.status_code, _seconds(response.headers.get("retry-after")))
    except (ValueError, LookupError, TypeError, AttributeError):
        return ServerError(response.text[:500] or response.reason_phrase, response.status_code)


def error_of(error: Any, status: int, retry_after: float | None = None) -> ServerError:
    """The error of an envelope, which has a `message`. Raises LookupError or TypeError for anything else."""
    return ServerError(
        str(error["message"]),
        status,
        error.get("code"),
        param=error.get("param"),
        details=error.get("details"),
        retry_after=retry_after,
        request_id=error.get("request_id"),
    )


def unreachable(url: str, error: Exception) -> ServerError:
    """The error for a server that does not answer."""
    return ServerError(f"{url} cannot be reached: {error or type(error).__name__}")


def _seconds(header: str | None) -> float | None:
    try:
        return float(header) if header else None
    except ValueError:  # a date
        return None
