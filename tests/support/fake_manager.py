"""A manager for tests: serves the manager's HTTP API on a real socket; the model's id selects how a request goes.

Run as `python -m tests.support.fake_manager PORT`; prints its address. Tests control it through `/control/…`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Receive, Scope, Send

from contract.asgi import serve
from tests.support.fake_models import DEVICE, MODELS, WORKERS, model
from tests.support.replies import (
    DETECTIONS,
    chat_event,
    error_envelope,
    read_body,
    run_lifespan,
    send_chunk,
    send_end,
    send_head,
    send_json,
    send_text,
    wait_until_disconnected,
)

TOKEN = "manager-token"


class FakeManager:
    """The ASGI app, which records what it receives."""

    def __init__(self) -> None:
        self.models = list(MODELS)
        self.seq = 1
        self.requests: list[dict[str, Any]] = []
        self.reads: list[str] = []
        self.disconnected: list[str] = []
        self.attempts: Counter[str] = Counter()
        self.listeners: list[asyncio.Queue[dict[str, Any] | None]] = []
        self.go = asyncio.Semaphore(0)
        self.ready = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await run_lifespan(receive, send)
        headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
        body = await read_body(receive)
        path = scope["path"]
        if path.startswith("/control/"):
            return await self.control(path.removeprefix("/control/"), body, send)
        if path not in {"/health", "/ready"} and headers.get("authorization") != f"Bearer {TOKEN}":
            return await send_json(send, 401, error_envelope("invalid_api_key", "wrong token"))
        if "x-enginehouse-model" in headers:
            return await self.work(scope, headers, body, receive, send)
        return await self.answer(scope, body, receive, send)

    async def control(self, action: str, body: bytes, send: Send) -> None:
        """Carry out a test's command (`go`, `models`, `event`, `ready`, `drop` or none), and send what was recorded."""
        value = json.loads(body or b"null")
        if action == "go":
            self.go.release()
        elif action == "models":
            self.models = value
            self.publish({"type": "models"})
        elif action == "event":
            self.publish(value)
        elif action == "ready":
            self.ready = value
        elif action == "drop":
            for listener in self.listeners:
                listener.put_nowait(None)
        recorded = {"requests": self.requests, "disconnected": self.disconnected, "listeners": len(self.listeners)}
        recorded["reads"] = self.reads
        await send_json(send, 200, recorded)

    def publish(self, event: dict[str, Any]) -> None:
        """Send an event to all listeners."""
        self.seq += 1
        for listener in self.listeners:
            listener.put_nowait({"seq": self.seq, "time": time.time(), **event})

    async def answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Answer a request to one of the manager's own paths."""
        path, query = scope["path"], scope["query_string"].decode()
        if path in {"/models", "/status"}:
            await send_json(send, 200, self.read(path, query))
        elif path == "/downloads":
            await send_json(send, 200, downloads_overview(self.models))
        elif path == "/ready":
            await send_json(send, 200 if self.ready else 503, {})
        elif path == "/metrics":
            await send_text(
                send,
                "# TYPE models_loaded gauge\nmodels_loaded 2.0\n# TYPE active_requests gauge\nactive_requests 9.0\n",
            )
        elif path.startswith(("/load/", "/pin/")):
            self.requests.append({"path": path, "query": query})
            await send_json(send, 200, {"model": path.removeprefix("/load/")})
        elif path.startswith("/evict/"):
            self.requests.append({"path": path, "query": query})
            await send_json(send, 200, {"evicted": [f"{path.removeprefix('/evict/')}#1"], "freed_bytes": 7})
        elif path == "/reload":
            others = [model for model in self.models if model["id"] != "reloaded"]
            self.models = [*others, model("reloaded")]
            await send_json(send, 200, {"changed": ["reloaded"]})
        elif path == "/events":
            await self.events(scope, receive, send)
        else:
            await send_json(send, 404, error_envelope("not_found", "no such path"))

    def read(self, path: str, query: str) -> dict[str, Any]:
        """The list of models or the status, of all models or of one."""
        self.reads.append(f"{path}?{query}")
        named = query.removeprefix("model=")
        models = [entry for entry in self.models if not named or entry["id"] == named]
        if path == "/models":
            return {"seq": self.seq, "models": models}
        counts = {"uptime": 1, "seq": self.seq, "waiting": 0, "leases": 0}
        return {"version": "fake", **counts, "devices": [DEVICE], "workers": WORKERS, "models": models}

    async def events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the event stream until the test drops it or the listener disconnects."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.listeners.append(queue)
        disconnected = asyncio.create_task(wait_until_disconnected(receive))
        await send_head(send, 200, b"text/event-stream")
        await send_chunk(send, b": hello\n\n")
        try:
            while not disconnected.done():
                getting = asyncio.create_task(queue.get())
                await asyncio.wait({getting, disconnected}, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    break
                if (event := getting.result()) is None:
                    break
                await send_chunk(send, f"data: {json.dumps(event)}\n\n".encode())
            await send_end(send)
        finally:
            disconnected.cancel()
            self.listeners.remove(queue)

    async def work(self, scope: Scope, headers: dict[str, str], body: bytes, receive: Receive, send: Send) -> None:
        """Record a request for a model, then behave as the model's id says."""
        name = headers["x-enginehouse-model"]
        record = {
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "headers": headers,
            "length": len(body),
        }
        record["sha256"] = hashlib.sha256(body).hexdigest()
        if len(body) < 100_000:
            record["body"] = body.decode("utf-8", "replace")
        self.requests.append(record)
        behave: Callable[..., Awaitable[None]] = BEHAVIOUR.get(name, ok)
        await behave(self, scope, headers, receive, send)


def downloads_overview(models: list[dict[str, Any]]) -> dict[str, Any]:
    """All configured models are on the disk, and of the catalogue SAM 3 and half of DINOv3."""
    catalogue = {
        "sam3": {"downloaded": True, "disk_bytes": 3_440_000_000},
        "dinov3": {"downloaded": False, "disk_bytes": 170_000_000},
    }
    download = {"id": "d1", "model": "dinov3", "source": "facebook/dinov3-vitb16-pretrain-lvd1689m", "state": "running"}
    progress = {"phase": "downloading", "bytes": 170_000_000, "total": 343_000_000, "seconds_left": 12.0}
    return {
        "models": {model["id"]: {"downloaded": True, "disk_bytes": 7} for model in models},
        "catalogue": catalogue,
        "downloads": [{**download, **progress}],
        "memory": {"cpu": 12 << 30},
    }


async def ok(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    if scope["path"] == "/v1/embeddings":
        vector = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        answer: dict[str, Any] = {"object": "list", "model": "ok", "data": vector, "usage": usage}
    elif scope["path"] == "/v1/images/generations":
        answer = {"created": 1, "data": [{"b64_json": "aGk="}], "usage": {"latency": 1.0, "seed": 1}}
    elif scope["path"] == "/v1/vision/detect":
        answer = DETECTIONS
    else:
        message = {"role": "assistant", "content": "hello"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        answer = {"id": "c1", "object": "chat.completion", "created": 1, "model": "ok", "choices": choices}
    await send_json(send, 200, answer, [(b"server-timing", b"queue;dur=1.0, load;dur=2.0, infer;dur=3.0")])


async def stream(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    await send_head(send, 200, b"text/event-stream")
    for number in range(3):
        await send_chunk(send, chat_event(f"{number} "))
    await send_chunk(send, b"data: [DONE]\n\n")
    await send_end(send)


async def handshake(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    """Send each chunk only after the test has confirmed the one before."""
    await send_head(send, 200, b"text/event-stream")
    for number in range(4):
        await send_chunk(send, chat_event(str(number)))
        await fake.go.acquire()
    await send_chunk(send, b"data: [DONE]\n\n")
    await send_end(send)


async def dies(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    """Die before the first byte: the manager's answer allows a retry."""
    fake.attempts[headers["x-request-id"]] += 1
    if headers["x-enginehouse-model"] == "dies-once" and fake.attempts[headers["x-request-id"]] > 1:
        return await ok(fake, scope, headers, receive, send)
    if headers["x-enginehouse-model"] == "dies-slowly":
        await asyncio.sleep(float(headers["x-enginehouse-deadline"]))
    details = {"log_tail": "Segmentation fault", "exit_code": -11}
    retry = [(b"x-enginehouse-retry", b"1")]
    return await send_json(send, 502, error_envelope("worker_died", "the worker died", details), retry)


async def dies_in_stream(
    fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send
) -> None:
    await send_head(send, 200, b"text/event-stream")
    await send_chunk(send, chat_event("begun"))
    if headers["x-enginehouse-model"] == "dies-in-event":
        await send_chunk(send, b'data: {"id"')
    if headers["x-enginehouse-model"] == "ends-early":  # as an external server does when it is stopped
        return await send_end(send)
    raise BrokenConnection


async def dies_in_answer(
    fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send
) -> None:
    await send_head(send, 200, b"application/json", [(b"content-length", b"1000")])
    if headers["x-enginehouse-model"] == "dies-in-answer":
        await send_chunk(send, b'{"id": "c1", ')
        await fake.go.acquire()
    raise BrokenConnection


async def refuses(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    details = {"waiting": 64}
    await send_json(
        send, 503, error_envelope("queue_full", "64 requests are waiting", details), [(b"retry-after", b"3")]
    )


async def hangs(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    """Work until the client disconnects."""
    if headers["x-enginehouse-model"] == "hangs-in-stream":
        await send_head(send, 200, b"text/event-stream")
        await send_chunk(send, chat_event("begun"))
    await wait_until_disconnected(receive)
    fake.disconnected.append(headers["x-request-id"])


BEHAVIOUR = {
    "stream": stream,
    "handshake": handshake,
    "dies-once": dies,
    "dies-always": dies,
    "dies-slowly": dies,
    "dies-in-stream": dies_in_stream,
    "dies-in-event": dies_in_stream,
    "dies-in-answer": dies_in_answer,
    "dies-after-head": dies_in_answer,
    "ends-early": dies_in_stream,
    "refuses": refuses,
    "hangs": hangs,
    "hangs-in-stream": hangs,
}


class BrokenConnection(Exception):
    """Makes the server close the connection in the middle of a response."""


def main() -> None:
    """Serve until killed."""
    sock = serve.listen("127.0.0.1", int(sys.argv[1]))
    print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    serve.server(FakeManager(), graceful=1).run(sockets=[sock])


if __name__ == "__main__":
    main()
