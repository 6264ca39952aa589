"""Routes of jobs: requests for any task or dialect that are stored now and run later."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, read_body
from contract.asgi.event_streams import event_stream
from contract.errors import InvalidField, NotFound
from contract.tasks import all_tasks
from gateway.access.keys import owner_of, visible_to
from gateway.forwarding.offload import offload
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Job, JobFilter, JobState, StoredRequest, Submission
from gateway.jobs.view import view
from gateway.jobs.watch import JobWatch
from gateway.routes import job_headers
from gateway.routes.files import page_size
from gateway.routes.models import path_parameter

SUBMIT = "/jobs/submit/"
"""What the paths of submissions begin with."""
_SUBMIT = "/jobs/submit/{model_type:path}"
_MAX_PAGE = 1000
_PIECE = 2**20
_WINDOW = 64 * 1024
_ONLY_DATA = {"content-disposition": "attachment", "x-content-type-options": "nosniff"}
"""Keeps a browser from showing what a client has sent as a page of this server."""
_BOUNDARY = re.compile(r'boundary="?([^";,]+)')


class JobEndpoint(Protocol):
    """The ASGI app of a path whose requests can be jobs."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def model_for(self, content_type: str, body: bytes) -> str:
        """The id of the model that a request would go to. Raises ServeError if it could not run."""


@dataclass(frozen=True, slots=True)
class JobRoutes:
    """The handlers, over the engine and the paths whose requests can be jobs."""

    engine: JobEngine
    watch: JobWatch
    endpoints: Mapping[str, JobEndpoint]
    body_limit: int

    async def submit(self, request: Request) -> Response:
        """Store a request, and run it later. The body is that of the task's or the dialect's own path.

        `model_type` is a task, a model of the vision models API, or a path such as `v1/chat/completions`.
        """
        name = request.path_params["model_type"]
        path = self._path_of(name)
        try:
            body = await read_body(request.scope, request.receive, self.body_limit)
        except ClientDisconnected:
            return Response()
        content_type = request.headers.get("content-type", "")
        model = await self.endpoints[path].model_for(content_type, body)
        submission = Submission(
            owner=owner_of(request.scope.get("principal")),
            type=name,
            model=model,
            request=StoredRequest(path, request.url.query, job_headers.kept_headers(request.scope), body),
            priority=job_headers.priority(request.scope),
            expires=job_headers.expiry(request.scope),
            webhook=request.headers.get("x-job-webhook"),
            webhook_secret=job_headers.webhook_secret(request.scope),
            idempotency_key=(key := job_headers.idempotency_key(request.scope)),
            digest=await offload(len(body), _digest, path, request.url.query, content_type, body) if key else "",
        )
        accepted = await self.engine.submit(submission)
        job, ahead = accepted.job, accepted.ahead
        document = await self.watch.look(job) if ahead is None else view(job, ahead=ahead)
        return JSONResponse(document, 202 if accepted.is_new else 200, {"location": f"/jobs/{job.id}"})

    async def list(self, request: Request) -> Response:
        """Your jobs, newest first; for an admin, those of all keys.

        `?status=queued,running` and `?model_type=` choose, `limit` and `before` page.
        """
        query = request.query_params
        limit = page_size(query.get("limit", "100"), _MAX_PAGE)
        states = tuple(_state(name) for name in query.get("status", "").split(",") if name)
        wanted = JobFilter(_visible(request), states, query.get("model_type"), query.get("before"), limit + 1)
        jobs = await self.engine.page(wanted)
        page, has_more = jobs[:limit], len(jobs) > limit
        next_page = page[-1].id if has_more else None
        return JSONResponse({"jobs": [view(job) for job in page], "count": len(page), "next": next_page})

    async def get(self, request: Request) -> Response:
        """A job's state and, once it is completed, its result if that is JSON. `?result=false` leaves it out."""
        job = await self._find(request)
        document = await self.watch.look(job)
        wants_result = request.query_params.get("result") != "false"
        if not (job.state is JobState.COMPLETED and wants_result and _is_json(job.result_type or "")):
            return JSONResponse({**document, "result": None})
        # The result is put in as it was sent, without being parsed.
        head = json.dumps(document, ensure_ascii=False)[:-1].encode() + b', "result": '
        return await self._send_result(job, "application/json", 200, head, b"}")

    async def result(self, request: Request) -> Response:
        """What the job's own path answered, in the same form: JSON, an image, arrays."""
        job = await self._find(request)
        if job.state is not JobState.COMPLETED:
            message = f"The job {job.id} is {job.state} and has no result."
            raise NotFound(f"{message} GET /jobs/{job.id} says more.", details={"status": job.state})
        return await self._send_result(job, job.result_type or "", job.result_status or 200)

    async def request(self, request: Request) -> Response:
        """What a job runs: the body as it was submitted, with its content type. `X-Job-Path` is its path and query."""
        job = await self._find(request)
        if not job.keeps_request:
            raise NotFound(f"The request of the job {job.id} was not kept. Submit it again.")
        store = await self.engine.store()
        stored, name = await store.kept_request(job)
        content_type = next((value for key, value in stored.headers if key.lower() == "content-type"), "")
        path = f"{stored.path}?{stored.query}" if stored.query else stored.path
        headers = {"content-type": content_type or "application/octet-stream", "x-job-path": path, **_ONLY_DATA}
        if name is None:
            return Response(stored.body, headers=headers)
        file = await asyncio.to_thread(store.open_file, name)
        return StreamingResponse(_pieces(file), headers=headers)

    async def events(self, request: Request) -> Response:
        """A job's place in line, what it waits for, its steps and its end, as server-sent events."""
        job = await self._find(request)
        request.scope["endless"] = True
        return event_stream(self.watch.events(job))

    async def delete(self, request: Request) -> Response:
        """Cancel a job that has not ended; remove one that has, with its request and result."""
        job, is_removed = await self.engine.delete(_visible(request), request.path_params["job_id"])
        what = "deleted" if is_removed else "cancelled"
        message = f"Job {job.id} {what}"
        return JSONResponse({"job_id": job.id, "status": job.state, "deleted": is_removed, "message": message})

    def _path_of(self, name: str) -> str:
        """The path that a job's type means. Raises NotFound."""
        plain = name.strip("/")
        hyphenated = plain.replace("_", "-")
        task = all_tasks().get(plain) or all_tasks().get(hyphenated)
        candidates = [f"/inference/{hyphenated}", f"/{plain}", f"/v1/{plain}"]
        if task:
            candidates.insert(0, task.path)
        path = next((path for path in candidates if path in self.endpoints), None)
        if path is None:
            message = f"There is no job type {name[:100]!r}. Use a task ({', '.join(all_tasks())}) or a path of the API"
            raise NotFound(f"{message}, such as inference/sam3.", param="model_type")
        return path

    async def _find(self, request: Request) -> Job:
        return await self.engine.get(_visible(request), request.path_params["job_id"])

    async def _send_result(self, job: Job, type_: str, status: int, head: bytes = b"", tail: bytes = b"") -> Response:
        store = await self.engine.store()
        result = await store.result_of(job)
        size = len(head) + result.size + len(tail)
        headers = {"content-length": str(size), "content-type": type_}
        if result.body is not None:
            return Response(head + result.body + tail, status, headers)
        assert result.file
        file = await asyncio.to_thread(store.open_file, result.file)
        return StreamingResponse(_pieces(file, head, tail), status, headers)


async def _pieces(file: BinaryIO, head: bytes = b"", tail: bytes = b"") -> AsyncIterator[bytes]:
    with file:
        yield head
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
        yield tail


def _visible(request: Request) -> str | None:
    """Whose jobs the client may see; None: those of all."""
    return visible_to(request.scope.get("principal"))


def _digest(path: str, query: str, content_type: str, body: bytes) -> str:
    """Equal for equal requests. Clients choose another boundary for the same form each time, so it does not count."""
    boundary = match[1].encode("latin-1") if (match := _BOUNDARY.search(content_type)) else b""
    head = json.dumps([path, query, content_type.replace(boundary.decode("latin-1"), "") if boundary else content_type])
    digest = hashlib.sha256(head.encode() + b"\0")
    for piece in _without(boundary, body) if boundary else (body,):
        digest.update(piece)
    return digest.hexdigest()


def _without(text: bytes, body: bytes) -> Iterator[bytes]:
    """A body without a text, in pieces, between which other threads run."""
    rest = b""
    for start in range(0, len(body), _WINDOW):
        *pieces, last = (rest + body[start : start + _WINDOW]).split(text)
        kept = max(0, len(last) - len(text) + 1)  # what follows may be the end of the text
        yield b"".join([*pieces, last[:kept]])
        rest = last[kept:]
    yield rest


def _state(name: str) -> JobState:
    try:
        return JobState(name)
    except ValueError:
        message = f"There is no job status {name[:50]!r}; there are {', '.join(JobState)}."
        raise InvalidField(message, param="status") from None


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


class JobSubmission:
    """The ASGI app behind `SUBMIT`, which needs none of what FastAPI does for a route."""

    def __init__(self, handlers: JobRoutes) -> None:
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint_label"] = _SUBMIT
        scope["path_params"] = {"model_type": scope["path"].removeprefix(SUBMIT)}
        response = await self._handlers.submit(Request(scope, receive))
        await response(scope, receive, send)


def router(handlers: JobRoutes) -> APIRouter:
    """All routes of jobs."""
    routes = APIRouter(tags=["jobs"])
    add = partial(routes.add_api_route, response_model=None)
    submit, of_job = path_parameter("model_type", "chat"), path_parameter("job_id", "job_0123456789abcdef")
    job = "/jobs/{job_id}"
    add(
        _SUBMIT,
        handlers.submit,
        methods=["POST"],
        summary="Submit a job",
        openapi_extra=submit,
    )
    add("/jobs", handlers.list, methods=["GET"], summary="List your jobs")
    add(job, handlers.get, methods=["GET"], summary="A job and its result", openapi_extra=of_job)
    add(job, handlers.delete, methods=["DELETE"], summary="Cancel or remove a job", openapi_extra=of_job)
    add(f"{job}/result", handlers.result, methods=["GET"], summary="The result of a job", openapi_extra=of_job)
    add(f"{job}/request", handlers.request, methods=["GET"], summary="What a job runs", openapi_extra=of_job)
    add(f"{job}/events", handlers.events, methods=["GET"], summary="Follow a job", openapi_extra=of_job)
    return routes
