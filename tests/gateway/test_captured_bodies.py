"""Captured bodies: off unless configured, bounded, and with small images, whatever was sent."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from typing import Any

from PIL import Image
from starlette.types import Message, Receive, Scope, Send

from contract.asgi.middleware import RequestMiddleware
from contract.config import GatewaySettings
from gateway.captured_bodies import MAX_IMAGES, MAX_RAW, BodyCapture, BodyPieces, describe
from gateway.request_log import RequestLog


def png(width: int = 640, height: int = 480) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


def as_json(document: Any, limit: int = 10_000) -> Any:
    raw = json.dumps(document).encode()
    return describe(raw, len(raw), "application/json", limit)


def test_images_are_thumbnails_wherever_they_are() -> None:
    encoded = base64.b64encode(png()).decode()
    body = as_json({"image": encoded, "messages": [{"url": f"data:image/png;base64,{encoded}"}], "prompt": "a cat"})
    assert [(image.field, image.width, image.height) for image in body.images] == [
        ("image", 640, 480),
        ("messages.0.url", 640, 480),
    ]
    assert encoded not in body.text
    assert "a cat" in body.text
    small = Image.open(io.BytesIO(base64.b64decode(body.images[0].thumbnail.partition(",")[2])))
    assert max(small.size) == 160


def test_bodies_are_bounded() -> None:
    encoded = base64.b64encode(png(16, 16)).decode()
    body = as_json([encoded] * (MAX_IMAGES + 5) + ["x" * 100_000], limit=500)
    assert (len(body.images), len(body.text), body.cut) == (MAX_IMAGES, 500, True)
    header = b"IHDR" + struct.pack(">IIBBBBB", 9_000, 8_000, 8, 2, 0, 0, 0)
    bomb = png(16, 16)[:12] + header + struct.pack(">I", zlib.crc32(header)) + png(16, 16)[33:]
    assert as_json({"image": base64.b64encode(bomb).decode()}).images == []
    assert "9000 × 8000" in as_json({"image": base64.b64encode(bomb).decode()}).text


def test_whatever_was_sent_is_described() -> None:
    for raw, kind in (
        (b"{", "application/json"),
        (b"[" * 9000, "application/json"),
        (b"\xff\xfe", "text/plain"),
        (b"", ""),
    ):
        assert describe(raw, len(raw), kind, 100).bytes == len(raw)
    boundary = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n' + png() + b"\r\n--b--\r\n"
    )
    form = describe(boundary, len(boundary), "multipart/form-data; boundary=b", 1000)
    assert [image.field for image in form.images] == ["image"]


def test_a_large_body_is_not_held() -> None:
    capture, body = BodyCapture(GatewaySettings(capture_requests=1)), BodyPieces()
    for _ in range(20):
        capture.take(body, b"x" * (1 << 20))
    assert (body.size, body.held) == (20 << 20, MAX_RAW)


async def request(log: RequestLog, content: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"answer " + content})

    async def receive() -> Message:
        return {"type": "http.request", "body": content}

    async def send(_: Message) -> None: ...

    headers = [(b"content-type", b"text/plain")]
    scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": headers, "client": None}
    await RequestMiddleware(log.middleware(app))(scope, receive, send)


async def test_keeps_the_last_bodies_only_if_configured() -> None:
    log = RequestLog(BodyCapture(GatewaySettings(capture_requests=2)))
    for number in range(3):
        await request(log, str(number).encode())
    sent, answer = await log.bodies(3) or (None, None)  # also while they are still being described
    assert [await log.bodies(number) is not None for number in (1, 2, 3)] == [False, True, True]
    assert sent is not None
    assert answer is not None
    assert (sent.text, answer.text) == ("2", "answer 2")
    silent = RequestLog()
    await request(silent, b"secret")
    assert silent.capture.of(1) is None
    assert not silent._keeping
