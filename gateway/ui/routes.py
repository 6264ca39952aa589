"""GET /ui: the page, and its files below it. Nothing of it needs a key; the API that it uses does."""

from __future__ import annotations

import asyncio
import re

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from contract.errors import NotFound
from gateway.ui.page_files import PageFile, PageFiles

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_HTML = re.compile(r"text/html\s*(?:$|[,;])", re.IGNORECASE)


class PageServer:
    """Serves the page and its files, compressed for clients that accept that."""

    def __init__(self, files: PageFiles) -> None:
        self._files = files

    def router(self) -> APIRouter:
        """The page at /ui, and the files below it."""
        routes = APIRouter(include_in_schema=False)
        routes.get("/ui")(self.index)
        routes.get("/ui/{version}/{path:path}")(self._file)
        return routes

    async def index(self, request: Request) -> Response:
        """The page. Browsers ask again each time, because its name never changes."""
        edition = self._files.current()
        headers = {"cache-control": "no-cache", "vary": "accept, accept-encoding"}
        return await _answer(request, edition.index, f'"{edition.version}"', headers)

    async def _file(self, request: Request) -> Response:
        version, path = request.path_params["version"], request.path_params["path"]
        file = self._files.find(version, path)
        if file is None:
            raise NotFound(f"This version of the page has no file {path[:100]}. Reload the page at /ui.")
        headers = {"cache-control": _FOR_EVER, "vary": "accept-encoding"}
        return await _answer(request, file, f'"{version}"', headers)


def wants_page(request: Request) -> bool:
    """Whether a request is a browser's: programs accept anything, or JSON."""
    return bool(_HTML.search(request.headers.get("accept", "")))


async def _answer(request: Request, file: PageFile, etag: str, headers: dict[str, str]) -> Response:
    headers = {**HEADERS, **headers, "etag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    content = file.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = await asyncio.to_thread(lambda: file.compressed)
        headers["content-encoding"] = "gzip"
    return Response(content, media_type=file.media_type, headers=headers)
