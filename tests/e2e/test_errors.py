"""Every failure of a request gets its status, the same JSON envelope, and a sentence that says what to do."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from scripts.testbed.server import RunningServer, eventually
from tests.support.sample_images import png, png_header

MODELS = [
    {"id": "fake", "engine": "fake", "tasks": ["chat", "embeddings"]},
    {"id": "ocr", "engine": "rapidocr", "default": ["ocr"]},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("errors"), MODELS, gateway={"max_body_mb": 8}) as running:
        yield running


TRUNCATED = png(200, 200, noise=True)[:5000]
HUGE = png_header(10_000, 10_000)
CHAT = "/v1/chat/completions"
OCR = "/v1/vision/ocr"
MESSAGES = [{"role": "user", "content": "x"}]
TOOL = {"type": "function", "function": {"name": "clock"}}
JSON = {"content-type": "application/json"}

CASES: dict[str, tuple[str, dict[str, Any], int, str, str]] = {
    "malformed JSON": (CHAT, {"content": b'{"model": ', "headers": JSON}, 400, "invalid_request", "not valid JSON"),
    "not UTF-8": (CHAT, {"content": b'{"model": "\xff"}', "headers": JSON}, 400, "invalid_request", "JSON"),
    "an array": (CHAT, {"content": b"[1]", "headers": JSON}, 400, "invalid_field", ""),
    "no messages": (CHAT, {"json": {"model": "fake", "messages": []}}, 400, "invalid_field", "messages"),
    "a wrong type": (
        CHAT,
        {"json": {"model": "fake", "messages": MESSAGES, "temperature": "hot"}},
        400,
        "invalid_field",
        "temperature",
    ),
    "an unknown model": (CHAT, {"json": {"model": "fakr", "messages": MESSAGES}}, 404, "model_not_found", "fake"),
    "a task that the model does not do": (
        CHAT,
        {"json": {"model": "ocr", "messages": MESSAGES}},
        400,
        "unsupported_task",
        "ocr",
    ),
    "a feature that the model lacks": (
        CHAT,
        {"json": {"model": "fake", "messages": MESSAGES, "tools": [TOOL]}},
        400,
        "unsupported_feature",
        "tools",
    ),
    "several features that the model lacks": (
        CHAT,
        {"json": {"model": "fake", "messages": MESSAGES, "echo": True, "tools": [TOOL], "top_k": 1}},
        400,
        "unsupported_feature",
        "`top_k` (sampling), `echo`, `tools`",
    ),
    "broken base64": (OCR, {"json": {"image": "data:image/png;base64,@@@@"}}, 400, "invalid_image", "base64"),
    "not an image": (OCR, {"json": {"image": base64.b64encode(b"hello").decode()}}, 400, "invalid_image", "PNG"),
    "a truncated PNG": (
        OCR,
        {"json": {"image": base64.b64encode(TRUNCATED).decode()}},
        400,
        "invalid_image",
        "",
    ),
    "a truncated upload": (OCR, {"files": {"image": ("a.png", TRUNCATED)}}, 400, "invalid_image", ""),
    "an image of 100 megapixels": (
        OCR,
        {"json": {"image": base64.b64encode(HUGE).decode()}},
        400,
        "invalid_image",
        "100 million",
    ),
    "a body over the limit": (OCR, {"json": {"image": "A" * 9_000_000}}, 413, "body_too_large", "8 MiB"),
    "another content type": (
        CHAT,
        {"content": b"a", "headers": {"content-type": "text/plain"}},
        415,
        "unsupported_media_type",
        "text/plain",
    ),
    "an unknown path": ("/v1/nothing", {"json": {}}, 404, "not_found", ""),
    "no image": (OCR, {"json": {}}, 400, "invalid_field", "image"),
    "an image from this machine": (OCR, {"json": {"image": "http://127.0.0.1:9/a.png"}}, 400, "invalid_image", ""),
    "an empty text": ("/v1/embeddings", {"json": {"model": "fake", "input": ""}}, 400, "invalid_field", "input"),
    "a malformed form": (
        OCR,
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
        400,
        "invalid_request",
        "multipart",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_failure_is_reported_in_the_envelope(server: RunningServer, name: str) -> None:
    path, options, status, code, words = CASES[name]
    answer = server.post(path, **options)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error["message"]
    assert words in error["message"] or words == error["param"]
    assert error["message"][-1] in ".)"
    assert set(error) == {"message", "type", "code", "param", "request_id", "details"}
    assert error["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["server-timing"]


def test_fields_that_ask_for_nothing_pass(server: RunningServer) -> None:
    fields = {"tools": [TOOL], "tool_choice": "none", "max_tokens": -1, "stop": [""], "store": True, "user": "me"}
    fields |= {"metadata": {"a": "b"}, "verbosity": "medium", "reasoning_effort": "none", "logprobs": False}
    answer = server.post(CHAT, {"model": "fake", "messages": MESSAGES, **fields})
    assert answer.status_code == 200, answer.text
    assert "warnings" not in answer.json()


def test_unknown_fields_are_named_in_the_answer(server: RunningServer) -> None:
    answer = server.post(CHAT, {"model": "fake", "messages": MESSAGES, "temprature": 1}).json()
    expected = "`temprature` is not a known field and had no effect. Did you mean `temperature`?"
    assert answer["warnings"] == [expected]


def test_loaded_model_reports_its_facts(server: RunningServer) -> None:
    assert server.chat("fake").status_code == 200
    model = eventually("the facts of the loaded model", lambda: _with_context(server.get("/v1/models/fake").json()))
    assert (model["context_length"], model["dimensions"], model["state"]) == (4096, 16, "ready")


def _with_context(model: dict[str, Any]) -> dict[str, Any] | None:
    return model if model["context_length"] else None


def test_wrong_method_is_refused(server: RunningServer) -> None:
    answer = server.get(CHAT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


def test_callers_request_id_is_kept(server: RunningServer) -> None:
    assert server.get("/v1/models", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"


def test_chunked_body_over_the_limit_is_refused(server: RunningServer) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    answer = httpx2.post(server.url + CHAT, content=pieces(), headers=JSON, trust_env=False, timeout=60)
    assert answer.status_code == 413


def test_server_still_works_after_failures(server: RunningServer) -> None:
    image = base64.b64encode(png(40, 30)).decode()
    assert server.post(OCR, {"image": image}).json()["data"][0]["text"] == ""
    assert server.chat("fake").status_code == 200


def test_configured_key_is_required(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("keys")
    with RunningServer(folder, MODELS[:1], gateway={"api_key": "s3cret-key"}) as server:
        assert server.chat("fake").status_code == 401
        body = {"model": "fake", "messages": MESSAGES}
        for headers in ({"authorization": "Bearer s3cret-key"}, {"x-api-key": "s3cret-key"}):
            assert server.post(CHAT, body, headers=headers).status_code == 200
        wrong = server.post(CHAT, body, headers={"authorization": "Bearer wrong"})
        assert wrong.json()["error"]["code"] == "invalid_api_key"
        assert server.get("/healthz").status_code == 200
