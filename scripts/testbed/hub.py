"""A model hub on this machine: the part of the Hugging Face hub's HTTP API that its client needs for downloads.

    with hub.serve({"tests/tiny-lm": folder}) as served:
        environment = {"HF_ENDPOINT": served.url, "HF_HOME": str(fresh_folder)}

Each repository has one commit, on `main`. Gated repositories list their files but refuse to send them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from contract.asgi.serve import listen, server

COMMIT = "c0ffee" + "0" * 34


@dataclass
class Hub:
    """A running hub. `requests` are the method and path of each request so far."""

    url: str
    folders: Mapping[str, Path]
    gated: frozenset[str]
    requests: list[str] = field(default_factory=list)

    def routes(self) -> list[Route]:
        repo = "{owner}/{name}"
        return [
            Route(f"/api/models/{repo}", self._info),
            Route(f"/api/models/{repo}/revision/{{revision}}", self._info),
            Route(f"/api/models/{repo}/tree/{{revision}}", self._tree),
            Route(f"/{repo}/resolve/{{revision}}/{{path:path}}", self._file),
        ]

    async def _info(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        siblings = [{"rfilename": path} for path in self._files(request)]
        return JSONResponse({"id": _repo(request), "sha": COMMIT, "siblings": siblings})

    async def _tree(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        files = self._files(request).items()
        return JSONResponse(
            [{"type": "file", "path": path, "size": file.stat().st_size, "oid": _etag(file)} for path, file in files]
        )

    async def _file(self, request: Request) -> Response:
        """The file, or only its headers for HEAD. FileResponse handles ranges."""
        if refusal := self._refusal(request):
            return refusal
        if _repo(request) in self.gated:
            return _error(403, "GatedRepo", "Access to this model is restricted.")
        file = self._files(request).get(request.path_params["path"])
        if file is None:
            return _error(404, "EntryNotFound", "Entry not found")
        return FileResponse(file, headers={"x-repo-commit": COMMIT, "etag": f'"{_etag(file)}"'})

    def _refusal(self, request: Request) -> Response | None:
        self.requests.append(f"{request.method} {request.url.path}")
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


def _etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": message}, status, {"x-error-code": code, "x-error-message": message})


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
        running.should_exit = True
        thread.join(30)
        sock.close()
