"""OpenAI's files: uploaded, listed, read and deleted. Their content goes to the disk and comes from it in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import Message
from functools import partial
from typing import Any, BinaryIO

from fastapi import APIRouter
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from contract.asgi.body import ClientDisconnected, body_chunks
from contract.errors import BadRequest, InvalidField, TooLarge
from contract.multipart import MAX_CONTENT_TYPE
from gateway.access.keys import owner_of, visible_to
from gateway.jobs.engine import JobEngine
from gateway.jobs.files import FileStore, Page, StoredFile
from gateway.routes.models import path_parameter
from gateway.routes.passthrough import UnlessForwarded
from gateway.storage.storing import storing

PURPOSES = ("batch", "assistants", "fine-tune", "vision", "user_data", "evals")
_MAX_PAGE = 10000
_MAX_NAME = 255
_FORM = 64 * 1024
"""Bytes that a form may have beside its file."""
_PIECE = 2**20
_LONGEST_LIFE = 10 * 366 * 86400


class _FormParser(MultiPartParser):
    """Starlette's parser, for which a part `file` is a file also without a name, as in all other forms."""

    def on_headers_finished(self) -> None:
        disposition = self._current_part.content_disposition
        _, options = parse_options_header(disposition)
        if disposition and options.get(b"name") == b"file" and b"filename" not in options:
            self._current_part.content_disposition = disposition + b'; filename="%s"' % _encoded_name(disposition)
        super().on_headers_finished()


def _encoded_name(disposition: bytes) -> bytes:
    """The name in `filename*` (RFC 8187), which the form's library leaves out; `file` if there is none."""
    header = Message()
    header["content-disposition"] = disposition.decode("latin-1")
    name = header.get_filename("file")
    return name.replace("\\", "_").replace('"', "_").encode(errors="replace")


@dataclass(frozen=True, slots=True)
class FileRoutes:
    """The handlers; `limit` is the size of a file in bytes."""

    engine: JobEngine
    files: FileStore
    limit: int

    async def upload(self, request: Request) -> Response:
        """Store a file, from a form with `file` and `purpose`. `expires_after[seconds]` removes it by itself."""
        try:
            form = await self._form(request)
        except ClientDisconnected:
            return Response()
        try:
            upload, purpose, keep = _fields(form)
            await self.engine.store()
            with storing("Files"):
                file = await self.files.add(
                    upload.file,
                    owner_of(request.scope.get("principal")),
                    (upload.filename or "file").replace("\0", ""),
                    purpose,
                    keep,
                )
        finally:
            await form.close()
        return JSONResponse(file_view(file))

    async def _form(self, request: Request) -> FormData:
        """The form, whose file is on the disk. Raises TooLarge, BadRequest or ClientDisconnected."""
        content_type = request.headers.get("content-type", "")
        if not content_type.startswith("multipart/form-data") or len(content_type) > MAX_CONTENT_TYPE:
            raise BadRequest("Send a form (multipart/form-data) with the fields `file` and `purpose`.")
        chunks = body_chunks(request.scope, request.receive, self.limit + _FORM)
        parser = _FormParser(request.headers, chunks, max_files=1, max_fields=16, max_part_size=_FORM)  # type: ignore[arg-type]
        try:
            return await parser.parse()
        except TooLarge:
            message = f"The file is larger than {self.limit / 2**20:g} MiB. Send less, or raise jobs.max_file_mb."
            raise TooLarge(message, details={"limit": self.limit}) from None
        except MultiPartException as error:
            raise BadRequest(f"The form cannot be read: {error.message}") from None

    async def list(self, request: Request) -> Response:
        """Your files, newest first. `limit`, `after`, `order` and `purpose` choose and page."""
        query = request.query_params
        wanted = Page(
            owner=visible_to(request.scope.get("principal")),
            limit=page_size(query.get("limit", str(_MAX_PAGE)), _MAX_PAGE) + 1,
            after=query.get("after"),
            ascending=_ascending(query.get("order", "desc")),
            purpose=query.get("purpose"),
        )
        if not self.engine.exists:
            return listing([], 0)
        await self.engine.store()
        with storing("Files"):
            files = await self.files.page(wanted)
        return listing([file_view(file) for file in files], wanted.limit - 1)

    async def get(self, request: Request) -> Response:
        """A file's name, size and purpose."""
        return JSONResponse(file_view(await self._find(request)))

    async def content(self, request: Request) -> Response:
        """A file's content."""
        file = await self._find(request)
        opened = await asyncio.to_thread(self.files.open, file)
        headers = {"content-length": str(file.bytes)}
        return StreamingResponse(_pieces(opened), headers=headers, media_type="application/octet-stream")

    async def delete(self, request: Request) -> Response:
        """Delete a file."""
        file = await self._find(request)
        with storing("Files"):
            await self.files.remove(file.owner, file.id)
        return JSONResponse({"id": file.id, "object": "file", "deleted": True})

    async def _find(self, request: Request) -> StoredFile:
        await self.engine.store()
        with storing("Files"):
            return await self.files.get(visible_to(request.scope.get("principal")), request.path_params["file_id"])


def file_view(file: StoredFile) -> dict[str, Any]:
    """A file in OpenAI's form."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created),
        "expires_at": None if file.expires is None else int(file.expires),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def listing(rows: list[dict[str, Any]], limit: int) -> JSONResponse:
    """A page of a list in OpenAI's form; one row more than `limit` says that there are others."""
    page = rows[:limit]
    ids = [row["id"] for row in page]
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return JSONResponse({"object": "list", "data": page, **ends, "has_more": len(rows) > limit})


def page_size(value: str, longest: int) -> int:
    """The `limit` of a list. Raises InvalidField."""
    if not (value.isdecimal() and len(value) <= 9 and 1 <= int(value) <= longest):
        raise InvalidField(f"`limit` must be a whole number from 1 to {longest}.", param="limit")
    return int(value)


def life(seconds: object, param: str) -> float:
    """How long a file stays. Raises InvalidField."""
    text = str(seconds)
    if not (text.isdecimal() and 0 < int(text[:12]) <= _LONGEST_LIFE):
        raise InvalidField(f"`{param}` must be a whole number of seconds above 0.", param=param)
    return float(text)


def _fields(form: FormData) -> tuple[UploadFile, str, float | None]:
    upload, purpose = form.get("file"), form.get("purpose")
    if not isinstance(upload, UploadFile):
        raise InvalidField("`file` must be a file, with a name.", param="file")
    if len(upload.filename or "") > _MAX_NAME:
        raise InvalidField(f"The name of the file may have at most {_MAX_NAME} characters.", param="file")
    if purpose not in PURPOSES:
        raise InvalidField(f"`purpose` must be one of {', '.join(PURPOSES)}.", param="purpose")
    seconds = form.get("expires_after[seconds]")
    return upload, str(purpose), None if seconds is None else life(seconds, "expires_after[seconds]")


def _ascending(order: str) -> bool:
    if order not in {"asc", "desc"}:
        raise InvalidField("`order` must be asc or desc.", param="order")
    return order == "asc"


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece


def router(engine: JobEngine, files: FileStore, limit: int) -> APIRouter:
    """All routes of files."""
    handlers = FileRoutes(engine, files, limit)
    routes = APIRouter(tags=["batches"], route_class=UnlessForwarded)
    add = partial(routes.add_api_route, response_model=None)
    path, of_file = "/v1/files/{file_id}", path_parameter("file_id", "file-0123456789abcdef")
    add("/v1/files", handlers.upload, methods=["POST"], summary="Upload a file")
    add("/v1/files", handlers.list, methods=["GET"], summary="List your files")
    add(path, handlers.get, methods=["GET"], summary="A file", openapi_extra=of_file)
    add(path, handlers.delete, methods=["DELETE"], summary="Delete a file", openapi_extra=of_file)
    add(f"{path}/content", handlers.content, methods=["GET"], summary="A file's content", openapi_extra=of_file)
    return routes
