"""Runs a job's request through the gateway's own routes, as a client's: validation, lease, metrics and access log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.asgi.body_memory import BodyBudget
from contract.asgi.errors import as_serve_error
from contract.asgi.middleware import RequestMiddleware
from contract.errors import EngineFailed, ServeError, from_envelope
from gateway.jobs.job import Job, JobResult, StoredRequest

Watch = Callable[[ASGIApp], ASGIApp]

_ERROR = "job_error"


class Executor:
    """Runs requests on `endpoints`, the ASGI apps of the tasks' and dialects' paths.

    Their bodies count among those of all requests, and take at most `limit` bytes of `bodies`: they may wait for long,
    and clients need the rest. `watch` wraps the app, to see its requests.
    """

    def __init__(
        self, endpoints: Mapping[str, ASGIApp], bodies: BodyBudget, limit: int, watch: Watch = lambda app: app
    ) -> None:
        self._app = RequestMiddleware(watch(_Endpoints(endpoints)))
        self._bodies, self._limit = bodies, limit

    async def run(self, job: Job, request: StoredRequest) -> JobResult:
        """The request's answer. Raises the ServeError with which it ended. Cancelling it disconnects the client."""
        scope, answer = _scope(job, request), _Answer()
        client = _client(request.body)
        del request  # its body is freed as soon as it is read
        try:
            with self._bodies.request(self._limit):
                await self._app(scope, client, answer)
        except Exception as error:  # the answer broke off
            raise as_serve_error(error) from error
        if _ERROR in scope:
            raise scope[_ERROR]
        return answer.result()


def run_id(job: Job) -> str:
    """The request id of a job's current run, in logs and at the manager."""
    return f"{job.id}-{job.run}"


class _Endpoints:
    """Hands a request to its path's endpoint, and keeps the error that the middleware turns into a response."""

    def __init__(self, endpoints: Mapping[str, ASGIApp]) -> None:
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["path"])
        try:
            if endpoint is None:  # accepted by a version that had this path
                raise EngineFailed(f"This version has no path {scope['path']} any more, so the job cannot run.")
            await endpoint(scope, receive, send)
        except Exception as error:
            scope[_ERROR] = as_serve_error(error)
            raise scope[_ERROR] from error


def _scope(job: Job, request: StoredRequest) -> Scope:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
    headers.append((b"x-request-id", run_id(job).encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "root_path": "",
        "query_string": request.query.encode("latin-1"),
        "headers": headers,
        "client": None,
        "server": None,
        "job_priority": job.priority,
    }


def _client(body: bytes) -> Receive:
    """A client that sends a body and then stays connected."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    return receive


class _Answer:
    """An ASGI `send` that keeps the answer."""

    def __init__(self) -> None:
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = dict(message["headers"])
        else:
            self._body += message.get("body", b"")

    def result(self) -> JobResult:
        """The answer. Raises the ServeError in it, such as one that the manager sent."""
        if self._status >= 400:
            raise _error_in(bytes(self._body), self._status, self._headers.get(b"retry-after", b"").decode("latin-1"))
        content_type = self._headers.get(b"content-type", b"application/octet-stream").decode("latin-1")
        return JobResult(self._status, content_type, len(self._body), bytes(self._body))


def _error_in(body: bytes, status: int, retry_after: str) -> ServeError:
    try:
        document: dict[str, Any] = json.loads(body)
        return from_envelope(document, retry_after)
    except (ValueError, LookupError, TypeError, AttributeError):  # an external server has a form of its own
        text = body[:500].decode(errors="replace")
        return EngineFailed(f"The server answered with status {status}: {text}")
