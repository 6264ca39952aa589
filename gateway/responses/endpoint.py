"""The path of responses: continues stored ones, keeps new ones, and runs those in the background as jobs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, read_body
from contract.asgi.middleware import header
from contract.errors import InvalidField, Unavailable
from contract.tasks import decode_body
from gateway.access.keys import owner_of
from gateway.dialects.responses import output
from gateway.dialects.responses.request import ResponsesRequest
from gateway.forwarding.client_headers import forwarded_headers
from gateway.forwarding.offload import offload
from gateway.jobs.job import StoredRequest, Submission
from gateway.responses.earlier_items import Answering, EarlierItems, replay
from gateway.responses.keeper import Keep, Keeper
from gateway.responses.replayed_stream import stream_of
from gateway.responses.store import StoredItem, StoredResponse

PATH = "/v1/responses"

_NOT_OF_JOBS = {"background", "previous_response_id", "stream", "stream_options"}
"""Fields that the request of a job does not have: its answer is kept whole."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ResponsesEndpoint:
    """The ASGI app behind `POST /v1/responses`."""

    inner: Answering
    earlier: EarlierItems
    body_limit: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint_label"] = PATH
        try:
            body = await read_body(scope, receive, self.body_limit)
        except ClientDisconnected:
            return
        conversation = await self.earlier.complete(scope, body)
        if conversation is None:
            await self.inner(scope, replay(body, receive), send)
            return
        request, own, body = conversation.fields, conversation.own, conversation.body
        previous = request.get("previous_response_id")
        if request.get("background"):
            await self._in_background(scope, request, own, receive, send)
        elif request.get("store") is False or "job_priority" in scope:
            await self.inner(scope, replay(body, receive), send)
        else:
            await self.inner(scope, replay(body, receive), Keeper(send, self._keep(scope, own, previous)))

    async def model_for(self, content_type: str, body: bytes) -> str:
        """The id of the model for a request that is to run as a job."""
        return await self.inner.model_for(content_type, body)

    def _keep(self, scope: Scope, own: list[StoredItem], previous: str | None) -> Keep:
        async def keep(response: Mapping[str, Any]) -> str | None:
            owner = owner_of(scope.get("principal"))
            stored = StoredResponse(response["id"], owner, own, dict(response), previous)
            try:
                await self.earlier.store.add(stored)
            except Unavailable as error:  # such as a full disk: the client has its answer all the same
                log.error("%s is not stored: %s", response["id"], error.message)
                return error.message
            return None

        return keep

    async def _in_background(
        self, scope: Scope, fields: dict[str, Any], own: list[StoredItem], receive: Receive, send: Send
    ) -> None:
        """Submit a job, and answer with a queued response, whose id leads to the job, or with its stream.

        A client that leaves the stream does not end the job.
        """
        if fields.get("store") is False:
            raise InvalidField("`store`: a response in the background is stored; leave the field out.", param="store")
        whole = {name: value for name, value in fields.items() if name not in _NOT_OF_JOBS}
        body = await offload(0, lambda: json.dumps({**whole, "store": False}).encode())
        content_type = header(scope, b"content-type") or "application/json"
        model = await self.inner.model_for(content_type, body)
        request = decode_body(ResponsesRequest, PATH, content_type, json.dumps({**fields, "input": "-"}).encode())
        unique = output.new_id()
        response = output.begin(request, f"resp_{unique}", time.time(), request.model or model)
        response.status = "queued"
        document = response.model_dump(mode="json", by_alias=True)
        owner, job = owner_of(scope.get("principal")), f"job_{unique}"
        previous = fields.get("previous_response_id")
        stored = StoredResponse(response.id, owner, own, document, previous, job)
        job_request = StoredRequest(PATH, "", [*forwarded_headers(scope)], body)
        submission = Submission(owner=owner, type="responses", model=model, request=job_request, id=job)
        await self.earlier.background.submit(stored, submission)
        if request.stream:
            scope["endless"] = True
            await stream_of(stored, self.earlier.store, self.earlier.background)(scope, receive, send)
        else:
            await send_json(send, document)


async def send_json(send: Send, document: Any) -> None:
    """Send a JSON answer."""
    body = json.dumps(document, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
