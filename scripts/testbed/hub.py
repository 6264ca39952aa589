"""A model hub on this machine: the part of the Hugging Face hub's HTTP API that its client needs for downloads.

    with hub.serve({"tests/tiny-lm": folder}) as served:
        environment = {"HF_ENDPOINT": served.url, "HF_HOME": str(fresh_folder)}

Each repository has one commit, on `main`. Weights have a SHA-256, as files in the hub's large storage do; other files
have the hash that git gives them. Gated repositories list their files, and send them to holders of `TOKEN` alone.
`EXPIRED` is a token that has expired, which is refused.

`faults` says, by `owner/name/path`, what goes wrong when a file is sent, and by `owner/name`, when files are listed.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from contract.asgi.serve import listen, server

COMMIT = "c0ffee" + "0" * 34
TOKEN = "hf_of_a_member"
EXPIRED = "hf_expired"
_LARGE = frozenset({".safetensors", ".bin", ".ckpt", ".gguf", ".onnx"})

Fault = Literal["cut", "always cut", "damaged", "stalled", "huge", "silent"]
"""`cut`: the connection breaks in the middle, once; `damaged`: a byte is wrong; `stalled`: half of the file is sent,
and the rest once `Hub.go` is set; `huge`: the listing states a size that fits on no disk; `silent`: the request is
accepted, and answered once `Hub.go` is set."""

HUGE = 1 << 60


@dataclass
class Hub:
    """A running hub. `requests` are the method and path of each request so far, `ranges` the bytes that some want."""

    url: str
    folders: Mapping[str, Path]
    gated: frozenset[str]
    requests: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    faults: dict[str, Fault] = field(default_factory=dict)
    go: threading.Event = field(default_factory=threading.Event)

    def routes(self) -> list[Route]:
        repo = "{owner}/{name}"
        return [
            Route(f"/api/models/{repo}", self._info),
            Route(f"/api/models/{repo}/revision/{{revision}}", self._info),
            Route(f"/api/models/{repo}/tree/{{revision}}", self._tree),
            Route(f"/{repo}/resolve/{{revision}}/{{path:path}}", self._file),
        ]

    async def _info(self, request: Request) -> Response:
        if self.faults.get(_repo(request)) == "silent":
            await _wait_for(self.go, request.receive)
        if refusal := self._refusal(request):
            return refusal
        siblings = [{"rfilename": path} for path in self._files(request)]
        return JSONResponse({"id": _repo(request), "sha": COMMIT, "siblings": siblings})

    async def _tree(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        return JSONResponse([self._entry(request, path, file) for path, file in self._files(request).items()])

    def _entry(self, request: Request, path: str, file: Path) -> dict[str, Any]:
        size = HUGE if self.faults.get(f"{_repo(request)}/{path}") == "huge" else file.stat().st_size
        entry = {"type": "file", "path": path, "size": size, "oid": _git_hash(file)}
        if file.suffix in _LARGE:
            entry["lfs"] = {"oid": _sha256(file), "size": size, "pointerSize": 134}
        return entry

    async def _file(self, request: Request) -> Response:
        """The file, or only its headers for HEAD. FileResponse handles ranges."""
        if refusal := self._refusal(request):
            return refusal
        if _repo(request) in self.gated and request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _error(403, "GatedRepo", "Access to this model is restricted.")
        file = self._files(request).get(request.path_params["path"])
        if file is None:
            return _error(404, "EntryNotFound", "Entry not found")
        headers = {"x-repo-commit": COMMIT, "etag": f'"{_sha256(file) if file.suffix in _LARGE else _git_hash(file)}"'}
        key = f"{_repo(request)}/{request.path_params['path']}"
        fault = self.faults.get(key)
        if fault in {None, "huge"} or request.method == "HEAD":
            return FileResponse(file, headers=headers)
        if fault == "cut":
            del self.faults[key]
        return _FaultyResponse(file.read_bytes(), headers, fault, self.go)

    def _refusal(self, request: Request) -> Response | None:
        self.requests.append(f"{request.method} {request.url.path}")
        if "range" in request.headers:
            self.ranges.append(request.headers["range"])
        if request.headers.get("authorization") == f"Bearer {EXPIRED}":
            return _error(401, None, "Invalid credentials in Authorization header")
        if _repo(request) not in self.folders:
            return _error(404, "RepoNotFound", "Repository not found")
        if request.path_params.get("revision", "main") not in {"main", COMMIT}:
            return _error(404, "RevisionNotFound", "Invalid rev id")
        return None

    def _files(self, request: Request) -> dict[str, Path]:
        folder = self.folders[_repo(request)]
        return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _repo(request: Request) -> str:
    return f"{request.path_params['owner']}/{request.path_params['name']}"


class _FaultyResponse(Response):
    """Sends a file with a fault. Ranges are ignored, as by a hub that cannot resume."""

    def __init__(self, content: bytes, headers: dict[str, str], fault: Fault | None, go: threading.Event) -> None:
        super().__init__(b"", 200, {**headers, "content-length": str(len(content))})
        half = len(content) // 2
        self._parts = content[:half], content[half:]
        self._fault, self._go = fault, go

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first, rest = self._parts
        if self._fault == "damaged":
            first = bytes([first[0] ^ 1]) + first[1:]
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": first, "more_body": True})
        if self._fault in {"cut", "always cut"}:
            return  # uvicorn closes a connection whose response is shorter than announced
        if self._fault == "stalled":
            await _wait_for(self._go, receive)
        await send({"type": "http.response.body", "body": rest})


async def _wait_for(event: threading.Event, receive: Receive) -> None:
    """Return once the event is set, or the client has disconnected."""
    disconnected = asyncio.create_task(_until_disconnected(receive))
    while not event.is_set() and not disconnected.done():
        await asyncio.to_thread(partial(event.wait, 0.05))
    disconnected.cancel()


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _git_hash(file: Path) -> str:
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _error(status: int, code: str | None, message: str) -> Response:
    headers = {"x-error-message": message, **({"x-error-code": code} if code else {})}
    return JSONResponse({"error": message}, status, headers)


@contextmanager
def serve(folders: Mapping[str, Path], *, gated: frozenset[str] = frozenset()) -> Iterator[Hub]:
    """Run a hub with these repositories for the length of the block."""
    sock = listen("127.0.0.1", 0)
    hub = Hub(f"http://127.0.0.1:{sock.getsockname()[1]}", folders, gated)
    running = server(Starlette(routes=hub.routes()))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [sock]})
    thread.start()  # the socket is listening already, so early requests wait
    try:
        yield hub
    finally:
        hub.go.set()
        running.should_exit = True
        thread.join(30)
        sock.close()
