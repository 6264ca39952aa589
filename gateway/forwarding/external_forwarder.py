"""Forwards requests to external servers: any method and path, unchecked and unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from starlette.types import Message, Receive, Scope, Send

from contract.asgi.body import cancel_on_disconnect
from contract.asgi.event_streams import EVENTS
from contract.asgi.middleware import header
from contract.errors import MethodNotAllowed, NotFound
from contract.status import ModelStatus
from gateway.forwarding.client_headers import forwarded_headers, requested_keep_alive, requested_wait, websocket_headers
from gateway.forwarding.external_request import ExternalRequest
from gateway.forwarding.forward import ForwardedRequest, forward
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.signs_of_life import SignPolicy
from gateway.forwarding.websocket import forward_websocket

_MAX_ENCODINGS = 8
_REFUSED_METHODS = frozenset({"CONNECT", "TRACE"})
"""TRACE would send the worker's token back to the client."""


@dataclass(frozen=True, slots=True)
class ServerPath:
    """A path of a model's server, and what clients send before it; both are percent-encoded."""

    model: ModelStatus
    path: str
    prefix: str = ""


class ExternalForwarder:
    """Forwards requests to external servers through the manager."""

    def __init__(self, manager: ManagerClient, stream_wait: float | None) -> None:
        self._manager = manager
        self._stream_wait = stream_wait

    async def forward(
        self, target: ServerPath, request: ExternalRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send the request to the server, and its answer to the client. Raises ServeError or ClientDisconnected."""
        model = target.model
        scope["model"] = model.id
        headers = forwarded_headers(scope)
        keep_alive = requested_keep_alive(scope) if request.keep_alive is None else request.keep_alive
        if keep_alive is not None:
            headers.append(("x-enginehouse-keep-alive", repr(keep_alive)))
        is_stream = request.stream or _wants_events(scope)
        forwarded = ForwardedRequest(
            url=self._manager.url(target.path, request.query),
            model=model.id,
            method=scope["method"],
            body=request.body,
            max_wait=min(requested_wait(scope), model.max_wait),
            request_id=scope["request_id"],
            headers=headers,
            signs=SignPolicy(self._stream_wait) if is_stream and self._stream_wait is not None else None,
            ends_with_done=target.path.endswith("/completions"),
        )
        if scope.get("websocket"):
            forwarded.headers += websocket_headers(scope)
            await forward_websocket(self._manager, forwarded, scope, receive, send)
            return
        async with cancel_on_disconnect(receive):
            await forward(self._manager, forwarded, _with_prefixed_location(send, target.prefix))


def check_forwardable(scope: Scope) -> None:
    """Raise NotFound or MethodNotAllowed for a path or method that is never forwarded."""
    if _leaves_its_folder(scope["path"]):
        raise NotFound(f"There is no endpoint {scope['path'][:200]}: paths may not have the segments `.` and `..`.")
    if scope["method"] in _REFUSED_METHODS:
        raise MethodNotAllowed(f"{scope['method']} is not forwarded to external servers.")


def raw_path(scope: Scope) -> str:
    """The path as the client has encoded it."""
    return str(scope.get("raw_path", b""), "latin-1") or str(scope["path"])


def _with_prefixed_location(send: Send, prefix: str) -> Send:
    """Let a redirect to another path of the server lead to that path behind the prefix."""
    if not prefix:
        return send

    async def send_prefixed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [(name, _prefixed(prefix, name, value)) for name, value in message["headers"]]
        await send(message)

    return send_prefixed


def _prefixed(prefix: str, name: bytes, value: bytes) -> bytes:
    is_path = name == b"location" and value.startswith(b"/") and not value.startswith(b"//")
    return prefix.encode("latin-1") + value if is_path else value


def _wants_events(scope: Scope) -> bool:
    """Whether a browser's EventSource, or a client like it, asks for a stream."""
    return scope["method"] == "GET" and (header(scope, b"accept") or "").startswith(EVENTS)


def _leaves_its_folder(path: str) -> bool:
    """Whether the path may have a segment `.` or `..`, behind which could be any path of the server.

    One that is encoded more often than any server decodes it counts as well: decoding it to its end could take seconds.
    """
    for _ in range(_MAX_ENCODINGS):
        encoded, path = path, unquote(path)
        if path == encoded:
            break
    else:
        return True
    return not {".", ".."}.isdisjoint(segment.partition(";")[0] for segment in path.replace("\\", "/").split("/"))
