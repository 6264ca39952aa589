"""Bad requests: each gets its status, the error envelope, and a message that says what to do."""

from __future__ import annotations

import base64
import socket
from typing import Any

import openai
import pytest

from contract.media import data_uri
from tests.support.gateway_processes import GatewayProcess
from tests.support.sample_images import png, png_header

SAY = [{"role": "user", "content": "hi"}]
HI = {"model": "ok", "messages": SAY}
JSON = {"content-type": "application/json"}


def ocr(content: bytes) -> dict[str, Any]:
    return {"model": "reader", "image": base64.b64encode(content).decode()}


def chat_about(url: str) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url}}
    return {"model": "ok", "messages": [{"role": "user", "content": [part]}]}


HUGE = png_header(10_000, 10_000)
CHAT, EMBED, OCR = "/v1/chat/completions", "/v1/embeddings", "/v1/vision/ocr"
URL = "messages.0.content.0.image_url.url"

CASES = [
    ("malformed JSON", CHAT, b'{"model": ', 400, "invalid_request", None, "not valid JSON"),
    ("not JSON at all", CHAT, b"\xff\xfe", 400, "invalid_request", None, "UTF-8 JSON"),
    ("an empty body", CHAT, b"", 400, "invalid_request", None, "not valid JSON"),
    ("JSON of another type", CHAT, b"[]", 400, "invalid_field", None, "object"),
    ("wrong type", CHAT, {**HI, "max_tokens": "many"}, 400, "invalid_field", "max_tokens", "integer"),
    ("missing field", CHAT, {"model": "ok"}, 400, "invalid_field", "messages", "required"),
    ("not a number", EMBED, b'{"input":"x","keep_alive":NaN}', 400, "invalid_field", "keep_alive", "finite"),
    ("unknown model", CHAT, {"model": "olk", "messages": SAY}, 404, "model_not_found", "model", "Did you mean 'ok'"),
    ("one of many", CHAT, {"model": "?", "messages": SAY}, 404, "model_not_found", "model", "which GET /v1/models"),
    ("no model, no default", EMBED, {"input": "x"}, 400, "invalid_field", "model", "ok, org/slashed"),
    ("wrong task", OCR, {**ocr(png(8, 8)), "model": "stream"}, 400, "unsupported_task", "model", "only chat"),
    ("unsupported field", CHAT, {**HI, "logprobs": True}, 400, "unsupported_feature", "logprobs", "use external"),
    ("unsupported fields", CHAT, {**HI, "echo": True, "n_probs": 2}, 400, "unsupported_feature", "echo",
     "`echo`, `n_probs`: the model"),
    ("hint for a field", CHAT, {**HI, "n_probs": 2}, 400, "unsupported_feature", "n_probs", "Send `logprobs`"),
    ("wrong fields", CHAT, {**HI, "top_p": 2, "n": 0}, 400, "invalid_field", "n", "`top_p` "),
    ("broken base64", OCR, {"model": "reader", "image": "no base64!"}, 400, "invalid_image", "image", "base64"),
    ("base64 of no image", OCR, ocr(b"hello"), 400, "invalid_image", "image", "PNG"),
    ("truncated header", OCR, ocr(png(8, 8)[:20]), 400, "invalid_image", "image", "damaged"),
    ("100 megapixels", OCR, ocr(HUGE), 400, "invalid_image", "image", "100 million"),
    ("100 megapixels in chat", CHAT, chat_about(data_uri(HUGE)), 400, "invalid_image", URL, "100 million"),
    ("private URL", CHAT, chat_about("http://127.0.0.1:1/a.png"), 400, "invalid_image", URL, "not public"),
    ("metadata service", CHAT, chat_about("http://169.254.169.254/latest"), 400, "invalid_image", URL, "not public"),
    ("name of this machine", CHAT, chat_about("http://localhost/a.png"), 400, "invalid_image", URL, "not public"),
    ("empty label", CHAT, chat_about("http://a..b/a.png"), 400, "invalid_image", URL, "could not be fetched"),
    ("long label", CHAT, chat_about(f"http://{'a' * 64}.b/a.png"), 400, "invalid_image", URL, "could not be fetched"),
    ("other scheme", CHAT, chat_about("file:///etc/passwd"), 400, "invalid_image", URL, "data URI"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_bad_requests(
    gateway: GatewayProcess, path: str, body: Any, status: int, code: str, param: str | None, words: str
) -> None:
    arguments = {"content": body, "headers": JSON} if isinstance(body, bytes) else {"json": body}
    answer = gateway.http.post(path, **arguments)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert error["param"] == param
    assert words in error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert set(error) == {"message", "type", "code", "param", "request_id", "details"}


def test_wrong_content_type_path_and_method(gateway: GatewayProcess) -> None:
    text = gateway.http.post(CHAT, content=b"hi", headers={"content-type": "text/plain"})
    assert (text.status_code, text.json()["error"]["code"]) == (415, "unsupported_media_type")
    missing = gateway.http.get("/v1/nothing/here")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    method = gateway.http.get(CHAT)
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"] == "POST"
    waiting = gateway.http.post(EMBED, json={"model": "ok", "input": "x"}, headers={"x-max-wait": "long"})
    assert (waiting.status_code, waiting.json()["error"]["param"]) == (400, "X-Max-Wait")


def test_unknown_model_lists_the_available_ones(gateway: GatewayProcess) -> None:
    error = gateway.http.post(CHAT, json={"model": "x", "messages": SAY}).json()["error"]
    assert "ok" in error["details"]["available_models"]


def test_sdk_raises_its_own_errors(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as not_found:
        sdk.chat.completions.create(model="missing", messages=SAY)  # type: ignore[arg-type]
    assert not_found.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad_request:
        sdk.chat.completions.create(model="ok", messages=SAY, logprobs=True)  # type: ignore[call-overload]
    assert bad_request.value.param == "logprobs"


def received(client: socket.socket, words: bytes) -> bytes:
    """What the gateway sends, up to these words."""
    answer = b""
    while words not in answer:
        data = client.recv(65536)
        assert data, answer
        answer += data
    return answer


def test_rejects_large_body_by_its_content_length(gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {2**30}\r\n\r\n"
        client.sendall(head.encode())
        assert received(client, b"body_too_large").startswith(b"HTTP/1.1 413")


def test_rejects_large_body_without_content_length(gateway: GatewayProcess) -> None:
    def endless():  # type: ignore[no-untyped-def]
        yield b'{"model": "'
        while True:
            yield b"x" * 2**20

    with gateway.connect() as client:
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        client.sendall(head.encode())
        for sent, chunk in enumerate(endless()):
            assert sent < 200, "the gateway read all of it"
            try:
                client.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            except OSError:
                break
            if sent > 32:
                break
        assert received(client, b"max_body_mb").startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"])
def test_garbage_closes_only_its_own_connection(gateway: GatewayProcess, garbage: bytes) -> None:
    with gateway.connect() as client:
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    assert gateway.http.get("/healthz").status_code == 200


INSIDE = "http://127.0.0.1:1/a.png"


def said(kind: str, part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": kind, "text": "Look"}, part]}]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/api/chat", {"messages": [*SAY, {"role": "user", "content": "", "images": [INSIDE]}]}, "messages.1.images.0"),
        ("/api/generate", {"system": "Be kind.", "prompt": "Look", "images": [INSIDE]}, "images.0"),
        (
            "/v1/messages",
            {
                "max_tokens": 1,
                "system": "Be kind.",
                "messages": said("text", {"type": "image", "source": {"type": "url", "url": INSIDE}}),
            },
            "messages.0.content.1.source.url",
        ),
        (
            "/v1/responses",
            {
                "instructions": "Be kind.",
                "stream": True,
                "input": said("input_text", {"type": "input_image", "image_url": INSIDE}),
            },
            "input.0.content.1.image_url",
        ),
    ],
)
def test_other_apis_name_images_where_clients_sent_them(
    gateway: GatewayProcess, path: str, fields: dict[str, Any], param: str
) -> None:
    answer = gateway.http.post(path, json={"model": "ok", **fields})
    document = answer.json()
    error = document if isinstance(document["error"], str) else document["error"]
    assert (answer.status_code, error["param"]) == (400, param), document


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"texts": ["a", ""]}, "texts"),
        ({"inputs": [{"content": [{"type": "text", "text": "a"}]}, {"content": [{"type": "text", "text": ""}]}]},
         "inputs.1.content.0"),
    ],
)  # fmt: skip
def test_empty_text_is_named_as_in_coheres_api(gateway: GatewayProcess, fields: dict[str, Any], param: str) -> None:
    answer = gateway.http.post("/v2/embed", json={"model": "ok", "embedding_types": ["float"], **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    assert answer.json()["message"].startswith(f"`{param}`")
