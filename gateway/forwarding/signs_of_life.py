"""Signs of life for a stream that waits for its model, so that neither its client nor a proxy gives it up.

After `SignPolicy.after` seconds, the gateway asks the manager whether the request waits. If so, the stream gets its
head and then a comment, or a chunk that says what happens, every few seconds. A request that is refused never waits, so
its refusal keeps its status. What fails after the head is raised, and becomes the stream's last event.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from starlette.types import Message, Send

from contract.asgi.event_streams import EVENTS, HEAD
from contract.asgi.relay import UpstreamError, iter_chunks
from contract.errors import EngineFailed, ServeError, WorkerDied, from_envelope
from contract.server_events import server_event
from gateway.forwarding.manager_client import ManagerClient

LONGEST_INTERVAL = 5.0
"""Seconds between two signs; common proxies give up after 60."""

_TOGETHER = 0.5
"""Seconds in which the questions of all streams to the manager become one."""

_HEADERS = (
    *HEAD,
    (b"server-timing", b'queue;desc="not over yet"'),  # the times are not known when this head is sent
)


@dataclass(frozen=True, slots=True)
class SignPolicy:
    """When signs begin, in seconds, and whether they are chunks with `reasoning_content` instead of comments."""

    after: float
    as_reasoning: bool = False


class SignsOfLife:
    """The signs of one request. `begun`: the head is sent, so the response's own comes too late."""

    def __init__(self, manager: ManagerClient, request_id: str, policy: SignPolicy, send: Send) -> None:
        self.begun = False
        self._manager = manager
        self._request_id = request_id
        self._policy = policy
        self._send = send
        self._sending = asyncio.Lock()
        self._task = asyncio.create_task(self._run())
        self._last_message = ""

    async def sender_for(self, response: aiohttp.ClientResponse) -> Send:
        """The `send` for the response. If the head is sent, raises the ServeError of one that is no event stream."""
        if not self.begun:
            return self._send
        if response.status != 200 or response.content_type != EVENTS:
            raise await _error_in(response)
        return self._send_without_head

    async def _send_without_head(self, message: Message) -> None:
        if message["type"] != "http.response.start":
            await self._send(message)

    async def stop(self) -> None:
        """Send no more signs. A sign that is being sent is completed first."""
        # No other await: what the response has sent is lost if its connection breaks before it is read.
        async with self._sending:
            self._task.cancel()

    async def _run(self) -> None:
        await asyncio.sleep(self._policy.after)
        while True:
            wait = await self._ask()
            if wait or self.begun:
                async with self._sending:
                    await self._sign(wait)
            await asyncio.sleep(min(LONGEST_INTERVAL, self._policy.after))

    async def _ask(self) -> dict[str, Any] | None:
        """What the manager knows of the wait; None if the request does not wait, or the manager does not answer."""
        return await self._manager.waits.of(self._request_id, min(_TOGETHER, self._policy.after / 10))

    async def _sign(self, wait: dict[str, Any] | None) -> None:
        if not self.begun:
            self.begun = True
            # A new message and list each time: middleware adds headers to them.
            await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        message = str(wait["message"]) if wait else ""
        if wait and self._policy.as_reasoning and message != self._last_message:
            event = server_event(self._chunk(wait))
        else:
            event = f": {message or 'working'}\n\n".encode()
        self._last_message = message
        await self._send({"type": "http.response.body", "body": event, "more_body": True})

    def _chunk(self, wait: dict[str, Any]) -> bytes:
        text = f"{wait['message'][:1].upper()}{wait['message'][1:]}.\n"
        delta = {"reasoning_content": text, "reasoning": text}
        chunk = {
            "id": f"chatcmpl-{self._request_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": wait["model"],
            "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
        }
        return json.dumps(chunk, ensure_ascii=False).encode()


async def _error_in(response: aiohttp.ClientResponse) -> ServeError:
    """The error that a response holds; external servers have forms of their own."""
    try:
        body = b"".join([chunk async for chunk in iter_chunks(response)])
    except UpstreamError as error:
        return WorkerDied(f"The response broke off ({error}). Send the request again.", details={"began": True})
    try:
        return from_envelope(json.loads(body))
    except (ValueError, LookupError, TypeError, AttributeError):
        text = body[:500].decode(errors="replace")
        return EngineFailed(f"The server answered with status {response.status}, and not with a stream: {text}")


@asynccontextmanager
async def signs_of_life(
    manager: ManagerClient, request_id: str, policy: SignPolicy | None, send: Send
) -> AsyncIterator[SignsOfLife | None]:
    """Give signs of life until the end of the block or `stop`; without a policy, do nothing."""
    if policy is None:
        yield None
        return
    signs = SignsOfLife(manager, request_id, policy, send)
    try:
        yield signs
    finally:
        await signs.stop()
