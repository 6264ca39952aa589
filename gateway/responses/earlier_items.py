"""Completes a request with the stored conversation that it continues, and with the stored items that it refers to."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import Message, Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, read_body
from contract.asgi.middleware import header
from contract.errors import InvalidField, NotFound
from contract.json_parser import parse_json
from gateway.access.keys import visible_to
from gateway.forwarding.offload import offload
from gateway.responses.background import BackgroundResponses
from gateway.responses.store import ResponseStore, StoredItem


class Answering(Protocol):
    """The endpoint that answers a request whose whole conversation is in it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def model_for(self, content_type: str, body: bytes) -> str:
        """The id of the model that a request would go to. Raises ServeError if it could not run."""


TOKENS_PATH = "/v1/responses/input_tokens"


@dataclass(frozen=True, slots=True)
class CompleteRequest:
    """The fields of a request, its own items, each with an id, and its body with the earlier ones before them."""

    fields: dict[str, Any]
    own: list[StoredItem]
    body: bytes


@dataclass(frozen=True, slots=True)
class EarlierItems:
    """Finds the stored items that requests name."""

    store: ResponseStore
    background: BackgroundResponses

    async def complete(self, scope: Scope, body: bytes) -> CompleteRequest | None:
        """The request with its whole conversation; None for a body that is no object in JSON.

        Raises InvalidField or NotFound for what it names and its key may not see.
        """
        fields = await offload(len(body), _fields, body) if _is_json(scope) else None
        if fields is None:
            return None
        own, previous = _items(fields.get("input")), fields.get("previous_response_id")
        refers = _refers(fields.get("input"))
        if refers:
            own = await self._resolved(scope, own)
        if previous is not None:
            fields["input"] = [*await self._conversation(scope, previous), *own]
        elif refers:
            fields["input"] = own
        if refers or previous is not None:
            body = await offload(len(body), lambda: json.dumps(fields).encode())
        return CompleteRequest(fields, own, body)

    async def _resolved(self, scope: Scope, items: list[StoredItem]) -> list[StoredItem]:
        """The items, with those of earlier answers in place of references to them. Raises NotFound."""
        owner = visible_to(scope.get("principal"))
        return [await self.store.item(owner, item["id"]) if _is_reference(item) else item for item in items]

    async def _conversation(self, scope: Scope, previous: Any) -> list[StoredItem]:
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


@dataclass(frozen=True, slots=True)
class WithEarlierItems:
    """The ASGI app of a path that reads a conversation and stores nothing, such as the one that counts its tokens."""

    inner: Answering
    earlier: EarlierItems
    body_limit: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint_label"] = scope["path"]
        try:
            body = await read_body(scope, receive, self.body_limit)
        except ClientDisconnected:
            return
        request = await self.earlier.complete(scope, body)
        await self.inner(scope, replay(request.body if request else body, receive), send)

    async def model_for(self, content_type: str, body: bytes) -> str:
        """The id of the model for a request that is to run as a job."""
        return await self.inner.model_for(content_type, body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, and then what the client does."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


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
