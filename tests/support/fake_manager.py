"""A manager for tests: speaks the manager's HTTP over a real socket, with faults chosen by the model's id.

Run as `python -m tests.support.fake_manager PORT`; prints its address. `/control/…` is the tests' own door.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Receive, Scope, Send

from contract.asgi import serve
from tests.support.replies import (
    DETECTED,
    live,
    read_body,
    send_chunk,
    send_end,
    send_head,
    send_json,
    send_text,
    wait_until_left,
)

TOKEN = "manager-token"
ALL_TASKS = ["chat", "embeddings", "ocr", "image-generation"]


def model(name: str, **fields: Any) -> dict[str, Any]:
    """A ModelStatus as the manager dumps it."""
    return {"id": name, "engine": "fake", "tasks": ["chat"], "features": ["images"], "created": 1, **fields}


MODELS = [
    model("ok", tasks=ALL_TASKS, aliases=["fine"], default=["chat"], max_wait=50),
    model("org/slashed", tasks=["embeddings"], features=[]),
    model("reader", tasks=["ocr"], default=["ocr"]),
    model("finder", tasks=["detect"], features=["prompt"]),
    model("masks", tasks=["segment"], features=["points"]),
    model("stream"),
    model("handshake"),
    model("dies-once"),
    model("dies-always"),
    model("dies-slowly", max_wait=0.2),
    model("dies-in-stream"),
    model("dies-in-event"),
    model("dies-in-answer"),
    model("dies-after-head"),
    model("refuses"),
    model("hangs"),
    model("hangs-in-stream"),
    model("foreign", engine="command", features=["*"], passthrough="gguf"),
    model("our-eyes", engine="transformers_chat", source="Qwen/Qwen2.5-VL-7B-Instruct", state="ready"),
]


class FakeManager:
    """The app, and what it saw."""

    def __init__(self) -> None:
        self.models = list(MODELS)
        self.seq = 1
        self.seen: list[dict[str, Any]] = []
        self.left: list[str] = []
        self.attempts: Counter[str] = Counter()
        self.listeners: list[asyncio.Queue[dict[str, Any] | None]] = []
        self.steps: deque[asyncio.Event] = deque()
        self.go = asyncio.Semaphore(0)
        self.ready = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await live(receive, send)
        headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"]}
        body = await read_body(receive)
        path = scope["path"]
        if path.startswith("/control/"):
            return await self.control(path.removeprefix("/control/"), body, send)
        if path not in {"/health", "/ready"} and headers.get("authorization") != f"Bearer {TOKEN}":
            return await send_json(send, 401, _error("invalid_api_key", "wrong token"))
        if "x-enginehouse-model" in headers:
            return await self.work(scope, headers, body, receive, send)
        return await self.answer(scope, body, receive, send)

    async def control(self, action: str, body: bytes, send: Send) -> None:
        """`seen`, `left`, `go`, `models`, `event`, `ready`, `drop`: what a test reads, and what it makes happen."""
        given = json.loads(body or b"null")
        if action == "go":
            self.go.release()
        elif action == "models":
            self.models = given
            self.tell({"type": "models"})
        elif action == "event":
            self.tell(given)
        elif action == "ready":
            self.ready = given
        elif action == "drop":
            for listener in self.listeners:
                listener.put_nowait(None)
        await send_json(send, 200, {"seen": self.seen, "left": self.left, "listeners": len(self.listeners)})

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event to everyone who listens."""
        self.seq += 1
        for listener in self.listeners:
            listener.put_nowait({"seq": self.seq, "time": time.time(), **event})

    async def answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """The manager's own paths."""
        path = scope["path"]
        if path == "/models":
            await send_json(send, 200, {"seq": self.seq, "models": self.models})
        elif path == "/downloads":
            here = {"models": {told["id"]: True for told in self.models}, "catalogue": {"sam3": True, "dinov3": False}}
            await send_json(send, 200, here)
        elif path == "/ready":
            await send_json(send, 200 if self.ready else 503, {})
        elif path == "/status":
            await send_json(send, 200, {"version": "fake", "models": self.models})
        elif path == "/metrics":
            await send_text(
                send,
                "# TYPE models_loaded gauge\nmodels_loaded 2.0\n# TYPE active_requests gauge\nactive_requests 9.0\n",
            )
        elif path.startswith("/evict/"):
            self.seen.append({"path": path})
            await send_json(send, 200, {"evicted": [f"{path.removeprefix('/evict/')}#1"], "freed_bytes": 7})
        elif path == "/reload":
            self.models = [*self.models, model("reloaded")]
            await send_json(send, 200, {"changed": ["reloaded"]})
        elif path == "/events":
            await self.events(scope, receive, send)
        else:
            await send_json(send, 404, _error("not_found", "no such path"))

    async def events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The event stream, until the test drops it or the listener goes."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.listeners.append(queue)
        left = asyncio.create_task(wait_until_left(receive))
        await send_head(send, 200, b"text/event-stream")
        await send_chunk(send, b": hello\n\n")
        try:
            while not left.done():
                getting = asyncio.create_task(queue.get())
                await asyncio.wait({getting, left}, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    break
                if (event := getting.result()) is None:
                    break
                await send_chunk(send, f"data: {json.dumps(event)}\n\n".encode())
            await send_end(send)
        finally:
            left.cancel()
            self.listeners.remove(queue)

    async def work(self, scope: Scope, headers: dict[str, str], body: bytes, receive: Receive, send: Send) -> None:
        """A request for a model: notes what came, then behaves as the model's name says."""
        name = headers["x-enginehouse-model"]
        note = {"path": scope["path"], "query": scope["query_string"].decode(), "headers": headers, "length": len(body)}
        note["sha256"] = hashlib.sha256(body).hexdigest()
        if len(body) < 100_000:
            note["body"] = body.decode("utf-8", "replace")
        self.seen.append(note)
        behave: Callable[..., Awaitable[None]] = BEHAVIOUR.get(name, ok)
        await behave(self, scope, headers, receive, send)


Behaviour = Any


async def ok(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    if scope["path"] == "/v1/embeddings":
        vector = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        answer: dict[str, Any] = {"object": "list", "model": "ok", "data": vector, "usage": usage}
    elif scope["path"] == "/v1/images/generations":
        answer = {"created": 1, "data": [{"b64_json": "aGk="}], "usage": {"latency": 1.0, "seed": 1}}
    elif scope["path"] == "/v1/vision/detect":
        answer = DETECTED
    else:
        message = {"role": "assistant", "content": "hello"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        answer = {"id": "c1", "object": "chat.completion", "created": 1, "model": "ok", "choices": choices}
    await send_json(send, 200, answer, [(b"server-timing", b"queue;dur=1.0, load;dur=2.0, infer;dur=3.0")])


async def stream(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    await send_head(send, 200, b"text/event-stream")
    for number in range(3):
        await send_chunk(send, _event(f"{number} "))
    await send_chunk(send, b"data: [DONE]\n\n")
    await send_end(send)


async def handshake(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    """Each chunk is made only after the test said that it has the one before."""
    await send_head(send, 200, b"text/event-stream")
    for number in range(4):
        await send_chunk(send, _event(str(number)))
        await fake.go.acquire()
    await send_chunk(send, b"data: [DONE]\n\n")
    await send_end(send)


async def dies(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    """No byte of an answer: the manager says that it may be tried again."""
    fake.attempts[headers["x-request-id"]] += 1
    if headers["x-enginehouse-model"] == "dies-once" and fake.attempts[headers["x-request-id"]] > 1:
        return await ok(fake, scope, headers, receive, send)
    if headers["x-enginehouse-model"] == "dies-slowly":
        await asyncio.sleep(float(headers["x-enginehouse-deadline"]))
    details = {"log_tail": "Segmentation fault", "exit_code": -11}
    retry = [(b"x-enginehouse-retry", b"1")]
    return await send_json(send, 502, _error("worker_died", "the worker died", details), retry)


async def dies_in_stream(
    fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send
) -> None:
    await send_head(send, 200, b"text/event-stream")
    await send_chunk(send, _event("begun"))
    if headers["x-enginehouse-model"] == "dies-in-event":
        await send_chunk(send, b'data: {"id"')
    raise Broken


async def dies_in_answer(
    fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send
) -> None:
    await send_head(send, 200, b"application/json", [(b"content-length", b"1000")])
    if headers["x-enginehouse-model"] == "dies-in-answer":
        await send_chunk(send, b'{"id": "c1", ')
        await fake.go.acquire()
    raise Broken


async def refuses(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    details = {"waiting": 64}
    await send_json(send, 503, _error("queue_full", "64 requests wait already", details), [(b"retry-after", b"3")])


async def hangs(fake: FakeManager, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
    """Works for ever, until the caller goes."""
    if headers["x-enginehouse-model"] == "hangs-in-stream":
        await send_head(send, 200, b"text/event-stream")
        await send_chunk(send, _event("begun"))
    await wait_until_left(receive)
    fake.left.append(headers["x-request-id"])


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
    "refuses": refuses,
    "hangs": hangs,
    "hangs-in-stream": hangs,
}


class Broken(Exception):
    """Makes the server close the connection in the middle of an answer."""


def _event(text: str) -> bytes:
    delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _error(code: str, message: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    error = {"message": message, "type": "server_error", "code": code, "param": None, "request_id": "r"}
    return {"error": {**error, "details": details or {}}}


def main() -> None:
    """Listen and serve until killed."""
    sock = serve.listen("127.0.0.1", int(sys.argv[1]))
    print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    serve.server(FakeManager(), graceful=1).run(sockets=[sock])


if __name__ == "__main__":
    main()
