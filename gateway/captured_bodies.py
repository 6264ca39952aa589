"""Keeps the bodies of the last requests and answers, if that is configured: as text, with images as thumbnails."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
import json
import re
from dataclasses import dataclass, field
from typing import Any

from contract import multipart
from contract.config import GatewaySettings
from contract.errors import ServeError
from contract.image_files import open_header
from contract.json_parser import parse_json
from contract.request_log import CapturedBody, CapturedImage

MAX_RAW = 8 << 20
"""Bytes of a body that are held until its request has ended; of a larger one, only the beginning is kept."""
MAX_HELD = 64 << 20
"""Bytes of all bodies that are held so."""
MAX_IMAGES = 8
THUMBNAIL = 160
"""Pixels of a thumbnail's longer side."""
_MAX_PIXELS = 1 << 26
_DATA_URL = re.compile(r"data:image/[\w.+-]{1,40};base64,")
_SHORTEST_IMAGE = 60
_LONGEST_STRING = 4000


@dataclass(slots=True)
class BodyPieces:
    """The pieces of one body, as many as may be held. `size` counts all."""

    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    held: int = 0


CapturedBodies = tuple[CapturedBody | None, CapturedBody | None]
"""Those of a request and of its answer; None for one that is empty."""


class BodyCapture:
    """The bodies of the last requests, by the number of the request. Used from the event loop only."""

    def __init__(self, settings: GatewaySettings | None = None) -> None:
        self.count = settings.capture_requests if settings else 0
        self._limit = int(settings.capture_body_kb * 1024) if settings else 0
        self._kept: dict[int, CapturedBodies] = {}
        self._held = 0
        self._one_at_a_time = asyncio.Semaphore(1)  # so that images of one request only are in memory

    def take(self, body: BodyPieces, piece: bytes) -> None:
        """Hold another piece of a body, if there is room."""
        body.size += len(piece)
        has_gap = body.size != body.held + len(piece)
        if piece and not has_gap and body.size <= MAX_RAW and self._held + len(piece) <= MAX_HELD:
            body.pieces.append(piece)
            body.held += len(piece)
            self._held += len(piece)

    async def keep(self, number: int, sent: tuple[BodyPieces, str], answer: tuple[BodyPieces, str]) -> None:
        """Keep the bodies of a request that has ended, in place of the oldest ones."""
        async with self._one_at_a_time:
            try:
                self._kept[number] = (await self._described(*sent), await self._described(*answer))
            finally:
                self._held -= sent[0].held + answer[0].held
        while len(self._kept) > self.count:
            del self._kept[next(iter(self._kept))]

    def of(self, number: int) -> CapturedBodies | None:
        """The bodies of a request and its answer; None if they are not kept."""
        return self._kept.get(number)

    async def _described(self, body: BodyPieces, content_type: str) -> CapturedBody | None:
        if not body.size:
            return None
        return await asyncio.to_thread(describe, b"".join(body.pieces), body.size, content_type[:200], self._limit)


def describe(raw: bytes, size: int, content_type: str, limit: int) -> CapturedBody:
    """What is kept of a body: at most `limit` characters of text, and thumbnails of its images."""
    images: list[CapturedImage] = []
    try:
        text = _text(raw, size, content_type.partition(";")[0].strip().lower(), content_type, images)
    except (ServeError, ValueError, RecursionError):  # such as a body that is no JSON
        text = raw[: 4 * limit].decode(errors="replace")
    cut = len(text) > limit or len(raw) < size
    return CapturedBody(content_type=content_type, bytes=size, text=text[:limit], cut=cut, images=images)


def _text(raw: bytes, size: int, kind: str, content_type: str, images: list[CapturedImage]) -> str:
    if len(raw) == size and kind.startswith("image/"):
        return _image(raw, "", images) or f"({size} bytes)"
    if len(raw) == size and kind == "application/json":
        return json.dumps(_without_images(parse_json(raw), "", images), ensure_ascii=False, indent=1)
    if len(raw) == size and kind == "multipart/form-data":
        form = multipart.parse(content_type, raw)
        return json.dumps(_without_images(form, "", images), ensure_ascii=False, indent=1)
    if kind.startswith("text/") or kind in {"application/json", "application/x-ndjson"}:
        return raw.decode(errors="replace")
    return f"({size} bytes)"


def _without_images(value: Any, path: str, images: list[CapturedImage]) -> Any:
    """A document whose images and long strings are replaced by a few words."""
    if isinstance(value, dict):
        return {str(k): _without_images(v, f"{path}.{k}".lstrip("."), images) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_images(item, f"{path}.{number}", images) for number, item in enumerate(value)]
    if isinstance(value, bytes):
        return _image(value, path, images) or f"(file of {len(value)} bytes)"
    if isinstance(value, str) and len(value) >= _SHORTEST_IMAGE:
        return _replaced(value, path, images)
    return value


def _replaced(value: str, path: str, images: list[CapturedImage]) -> str:
    prefix = _DATA_URL.match(value)
    encoded = value[prefix.end() :] if prefix else value
    if prefix or encoded[:4] in {"iVBO", "/9j/", "UklG", "R0lG"}:  # PNG, JPEG, WebP, GIF
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            content = b""
        if words := _image(content, path, images):
            return words
    return value if len(value) <= _LONGEST_STRING else f"{value[:_LONGEST_STRING]}… ({len(value)} characters)"


def _image(content: bytes, path: str, images: list[CapturedImage]) -> str | None:
    """Words in place of an image, of which a thumbnail is kept; None if it is none."""
    if not content or len(images) >= MAX_IMAGES:
        return None
    try:
        image = open_header(content)
        width, height = image.size
        if width * height > _MAX_PIXELS:
            return f"(image of {width} × {height} pixels)"
        image.draft("RGB", (THUMBNAIL, THUMBNAIL))
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        small = io.BytesIO()
        image.convert("RGB").save(small, "JPEG", quality=70)
    except Exception:  # damaged, or of a kind that Pillow does not read
        return None
    thumbnail = "data:image/jpeg;base64," + base64.b64encode(small.getvalue()).decode()
    size = len(content)
    images.append(CapturedImage(field=path[:200], bytes=size, width=width, height=height, thumbnail=thumbnail))
    return f"(image {len(images)}: {width} × {height} pixels, {size} bytes)"
