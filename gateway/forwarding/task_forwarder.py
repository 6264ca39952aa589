"""Runs a task call: chooses its model, completes its request, and forwards it.

It does not matter where a call comes from. The tasks' HTTP paths make one from a body; code that has only a `Request`
can make one as well.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.types import Send

from contract.errors import UnsupportedFeature
from contract.json_writer import json_pieces
from contract.media import images_in, name_bad_image
from contract.status import ModelStatus
from contract.tasks import Request, Task
from contract.tasks.embeddings import EmbeddingsRequest
from gateway.forwarding.captured_response import CapturedResponse
from gateway.forwarding.client_headers import Headers
from gateway.forwarding.external_vectors import CheckedVectors
from gateway.forwarding.forward import ForwardedRequest, forward
from gateway.forwarding.image_fetcher import ImageFetcher
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.forwarding.normalized_images import normalize
from gateway.forwarding.offload import offload
from gateway.forwarding.pieced_body import PiecedBody, body_of
from gateway.forwarding.prerequisite import apply_prerequisite
from gateway.forwarding.replace_form_model import replace_form_model
from gateway.forwarding.replace_model import replace_model
from gateway.forwarding.signs_of_life import SignPolicy

_LARGE_TO_WRITE = 256 * 1024
"""Bytes of the largest request that is written without a thread: that takes less than a millisecond."""


@dataclass(slots=True)
class TaskCall:
    """One request for a task.

    `body` is what the client sent, in the content type that `headers` state; it is forwarded unchanged where possible.
    Without it, the request is serialized; `size` is then about how many bytes it has, if that is known. `max_wait` can
    shorten the model's own. `keep_alive` counts if the request has none. `loading_messages`: a chat that waits says
    why, in chunks. `job_priority`: it is a job's request, which yields to others and waits as long as it takes. `model`
    is set once it is chosen, and so is `vectors`: the form to which the vectors of an external server are held.
    """

    task: Task[Any, Any]
    request: Request
    request_id: str
    body: bytes | None = None
    size: int | None = None
    headers: Headers = field(default_factory=list)
    query: bytes = b""
    max_wait: float = math.inf
    keep_alive: float | None = None
    loading_messages: bool = False
    job_priority: int | None = None
    model: str | None = None
    vectors: str | None = None


def decode(task: Task[Any, Any], content_type: str, body: bytes) -> Request:
    """Parse a request and check its images. Raises UnsupportedMedia or BadRequest."""
    request: Request = task.decode(content_type, body)
    check_images(request)
    return request


def check_images(request: BaseModel) -> None:
    """Raise BadImage for an image that cannot be one, or is too large; its `param` names the field."""
    with name_bad_image(request):
        for image in images_in(request):
            image.check()


def check_whole(request: Request) -> None:
    """Raise UnsupportedFeature for a request that wants a stream, which a job cannot have."""
    if request.wants_stream:
        field = request.stream_field
        message = f"`{field}`: the answer of a job is kept whole, at GET /jobs/{{id}}/result. Leave the field out."
        raise UnsupportedFeature(message, param=field)


class TaskForwarder:
    """Forwards task calls to the manager."""

    def __init__(
        self,
        manager: ManagerClient,
        directory: ModelDirectory,
        fetcher: ImageFetcher,
        stream_wait: float | None = None,
    ) -> None:
        self._manager = manager
        self._directory = directory
        self._fetcher = fetcher
        self._stream_wait = stream_wait

    async def forward(self, call: TaskCall, send: Send) -> None:
        """Answer the call through `send`, and use it up: its request and body are released. Raises ServeError."""
        request = await self.prepare(call)
        if call.vectors:
            send = CheckedVectors(send, request.model, call.vectors)
        await forward(self._manager, request, send)

    async def ask(
        self, task: Task[Any, Any], request: Request, request_id: str, job_priority: int | None = None
    ) -> bytes:
        """The body of the response to a request of our own. Raises ServeError, also one that the manager answers."""
        response = CapturedResponse()
        await self.forward(TaskCall(task, request, request_id, job_priority=job_priority), response)
        return response.body()

    async def prepare(self, call: TaskCall) -> ForwardedRequest:
        """Choose the call's model and complete its request; uses up the call like `forward`. Raises ServeError."""
        table = await self._directory.table()
        model = table.choose(call.task.name, call.request.model)
        call.model = model.id
        table.check_features(call.task.name, model, call.request)
        if isinstance(call.request, EmbeddingsRequest) and table.is_external(model):
            call.vectors = call.request.encoding_format
        name, keep_alive = call.request.model, call.request.keep_alive
        keep_alive = call.keep_alive if keep_alive is None else keep_alive
        signs = self._signs(call)
        body = await self._body(call, model)
        if keep_alive is not None:
            call.headers = [*call.headers, ("x-enginehouse-keep-alive", repr(keep_alive))]
        if name in model.presets:
            call.headers = [*call.headers, ("x-enginehouse-preset", name)]
        path = call.task.path
        return ForwardedRequest(
            url=self._manager.url(path, call.query) if call.query else self._manager.cached_url(path),
            model=model.id,
            body=body,
            max_wait=min(call.max_wait, model.max_wait if call.job_priority is None else math.inf),
            request_id=call.request_id,
            headers=call.headers,
            signs=signs,
            job_priority=call.job_priority,
            ends_with_done=call.task.chunk is not None and table.is_external(model),
        )

    async def model_for(self, task: Task[Any, Any], request: Request) -> str:
        """The id of the model that a request would go to now. Raises the errors of `prepare` about the choice."""
        table = await self._directory.table()
        model = table.choose(task.name, request.model)
        table.check_features(task.name, model, request)
        return model.id

    def _signs(self, call: TaskCall) -> SignPolicy | None:
        if self._stream_wait is None or call.task.chunk is None or not call.request.wants_stream:
            return None
        return SignPolicy(self._stream_wait, as_reasoning=call.loading_messages and call.task.name == "chat")

    async def _body(self, call: TaskCall, model: ModelStatus) -> bytes | PiecedBody:
        """The body to forward: the client's own if possible, else the completed request as JSON."""
        is_completed = await self._complete(call, model)
        if is_completed or call.body is None:
            # The bytes are released before the request is serialized, and the request after: the client's body, the
            # decoded request and the new body are never in memory at the same time.
            call.body = None
            call.headers = _with_json_content_type(call.headers)
            if model.passthrough:
                call.request.model = model.passthrough
            if not is_completed and call.size is not None and call.size <= _LARGE_TO_WRITE:
                return _small_json(call)
            pieces = await asyncio.to_thread(json_pieces, call.request)
            del call.request
            return body_of(pieces)
        body, call.body = call.body or b"", None
        del call.request
        if model.passthrough is None:
            return body
        if form := _form_type(call.headers):
            return await offload(len(body), replace_form_model, form, body, model.passthrough)
        return await offload(len(body), replace_model, body, model.passthrough)

    async def _complete(self, call: TaskCall, model: ModelStatus) -> bool:
        """Fetch the request's images, and apply its prerequisite; whether that changed the request."""

        async def ask(task: Task[Any, Any], request: Request) -> bytes:
            return await self.ask(task, request, call.request_id, call.job_priority)

        changed = await self._fetch_images(call.request)
        if model.normalize_images:
            with name_bad_image(call.request):
                changed = await normalize(list(images_in(call.request))) or changed
        return await apply_prerequisite(call.request, ask) or changed

    async def _fetch_images(self, request: Request) -> bool:
        """Replace image URLs with the images themselves; whether there were any."""
        remote = [image for image in images_in(request) if image.url]
        if remote:
            with name_bad_image(request):
                await self._fetcher.inline(remote)
        return bool(remote)


def _small_json(call: TaskCall) -> bytes:
    """The request of a call as JSON, in one step: the short steps of `json_pieces` take ten times as long."""
    body = call.request.model_dump_json(exclude_unset=True).encode()
    del call.request
    return body


def _form_type(headers: Headers) -> str | None:
    """The content type of a multipart form; None for another one."""
    types = (value for name, value in headers if name == "content-type")
    return next((value for value in types if value.lower().startswith("multipart/")), None)


def _with_json_content_type(headers: Headers) -> Headers:
    return [*((name, value) for name, value in headers if name != "content-type"), ("content-type", "application/json")]
