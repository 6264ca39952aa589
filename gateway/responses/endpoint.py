"""The path of responses: continues stored ones, keeps new ones, and runs those in the background as jobs."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import Message, Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, read_body
from contract.asgi.middleware import header
from contract.errors import InvalidField, NotFound, Unavailable, UnsupportedFeature
from contract.json_parser import parse_json
from contract.tasks import decode_body
from gateway.access.keys import owner_of, visible_to
from gateway.dialects.responses import output
from gateway.dialects.responses.request import ResponsesRequest
from gateway.forwarding.client_headers import forwarded_headers
from gateway.forwarding.offload import offload
from gateway.jobs.job import StoredRequest, Submission
from gateway.responses.background import BackgroundResponses
from gateway.responses.keeper import Keep, Keeper
from gateway.responses.store import ResponseStore, StoredItem, StoredResponse

PATH = "/v1/responses"

log = logging.getLogger(__name__)


class Answering(Protocol):
    """The endpoint that answers a request whose whole conversation is in it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def model_for(self, content_type: str, body: bytes) -> str:
        """The id of the model that a request would go to. Raises ServeError if it could not run."""


@dataclass(frozen=True, slots=True)
class ResponsesEndpoint:
    """The ASGI app behind `POST /v1/responses`."""

    inner: Answering
    store: ResponseStore
    background: BackgroundResponses
    body_limit: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint_label"] = PATH
        try:
            body = await read_body(scope, receive, self.body_limit)
        except ClientDisconnected:
            return
        request = await offload(len(body), _fields, body) if _is_json(scope) else None
        if request is None:
            await self.inner(scope, _replay(body, receive), send)
            return
        own, refers = _items(request.get("input")), _refers(request.get("input"))
        if refers:
            own = request["input"] = await self._resolved(scope, own)
            body = await offload(len(body), lambda: json.dumps(request).encode())
        previous = request.get("previous_response_id")
        if request.get("store") is False and not previous:
            await self.inner(scope, _replay(body, receive), send)
            return
        if previous is not None:
            request["input"] = [*await self._earlier(scope, previous), *own]
            body = await offload(len(body), lambda: json.dumps(request).encode())
        if request.get("background"):
            await self._in_background(scope, request, own, send)
        elif request.get("store") is False or "job_priority" in scope:
            await self.inner(scope, _replay(body, receive), send)
        else:
            await self.inner(scope, _replay(body, receive), Keeper(send, self._keep(scope, own, previous)))

    async def model_for(self, content_type: str, body: bytes) -> str:
        """The id of the model for a request that is to run as a job."""
        return await self.inner.model_for(content_type, body)

    async def _resolved(self, scope: Scope, items: list[StoredItem]) -> list[StoredItem]:
        """The items, with those of earlier answers in place of references to them. Raises NotFound."""
        owner = visible_to(scope.get("principal"))
        return [await self.store.item(owner, item["id"]) if _is_reference(item) else item for item in items]

    async def _earlier(self, scope: Scope, previous: Any) -> list[StoredItem]:
        """The conversation so far. Raises InvalidField or NotFound."""
        if not isinstance(previous, str):
            raise InvalidField("`previous_response_id` must be the id of a response.", param="previous_response_id")
        owner = visible_to(scope.get("principal"))
        try:
            last = await self.background.current(await self.store.get(owner, previous))
            if last.job is not None:
                message = f"The response {previous} is {last.response['status']}; continue it once it is completed."
                raise InvalidField(message, param="previous_response_id")
            return await self.store.conversation(owner, previous)
        except NotFound as error:
            error.param = "previous_response_id"
            raise

    def _keep(self, scope: Scope, own: list[StoredItem], previous: str | None) -> Keep:
        async def keep(response: Mapping[str, Any]) -> str | None:
            owner = owner_of(scope.get("principal"))
            stored = StoredResponse(response["id"], owner, own, dict(response), previous)
            try:
                await self.store.add(stored)
            except Unavailable as error:  # such as a full disk: the client has its answer all the same
                log.error("%s is not stored: %s", response["id"], error.message)
                return error.message
            return None

        return keep

    async def _in_background(self, scope: Scope, fields: dict[str, Any], own: list[StoredItem], send: Send) -> None:
        """Submit a job, and answer with a queued response, whose id leads to the job."""
        if fields.get("stream"):
            message = "`stream`: a response in the background has no stream; retrieve it by its id."
            raise UnsupportedFeature(message, param="stream")
        if fields.get("store") is False:
            raise InvalidField("`store`: a response in the background is stored; leave the field out.", param="store")
        whole = {name: value for name, value in fields.items() if name not in {"background", "previous_response_id"}}
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
        await self.background.submit(stored, submission)
        await send_json(send, document)


async def send_json(send: Send, document: Any) -> None:
    """Send a JSON answer."""
    body = json.dumps(document, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_json(scope: Scope) -> bool:
    return (header(scope, b"content-type") or "").lower().startswith("application/json")


def _fields(body: bytes) -> dict[str, Any] | None:
    """The fields of a request; None for a body that is none, which the inner endpoint refuses."""
    document = parse_json(body)
    return document if isinstance(document, dict) else None


def _items(sent: Any) -> list[StoredItem]:
    """The input as items, each with an id."""
    if isinstance(sent, str):
        sent = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": sent}]}]
    items = [item for item in sent if isinstance(item, dict)] if isinstance(sent, list) else []
    return [{"id": f"item_{uuid.uuid4().hex}", **item} for item in items]


def _refers(sent: Any) -> bool:
    return isinstance(sent, list) and any(isinstance(item, dict) and _is_reference(item) for item in sent)


def _is_reference(item: StoredItem) -> bool:
    """Whether an item stands for one of an earlier answer, as the AI SDK sends it. Its `type` may be left out."""
    named = item.get("type") == "item_reference" or {name for name in item if item[name] is not None} == {"id"}
    return named and isinstance(item.get("id"), str)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, and then what the client does."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
