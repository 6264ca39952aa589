"""Requests that work: what the client gets, and what the manager sees of it."""

from __future__ import annotations

import base64
import hashlib
import json

import httpx2
import openai
import pytest

from tests.support.gateway_processes import Gateway, Manager
from tests.support.sample_images import png

SAY = [{"role": "user", "content": "hi"}]


def test_sdk_does_chat_embeddings_images_and_models(sdk: openai.OpenAI) -> None:
    assert sdk.chat.completions.create(model="ok", messages=SAY).choices[0].message.content == "hello"
    assert sdk.embeddings.create(model="ok", input="x", encoding_format="float").data[0].embedding == [0.5, 0.25]
    assert sdk.images.generate(model="ok", prompt="a cat").data[0].b64_json == "aGk="
    assert "ok" in {model.id for model in sdk.models.list()}
    assert sdk.models.retrieve("fine").id == "ok", "an alias is resolved"
    assert sdk.models.retrieve("org/slashed").id == "org/slashed"


def test_original_bytes_and_our_own_headers_reach_the_manager(gateway: Gateway, manager: Manager) -> None:
    # Spaces, an unknown field and its order would not survive a model's own dump.
    body = b'{ "zzz":1,"model" : "fine",  "messages":[{"role":"user","content":"hi"}], "keep_alive": 7.5 }'
    headers = {
        "content-type": "application/json",
        "x-request-id": "bytes-1",
        "x-max-wait": "3",
        "authorization": "Bearer client-secret",
        "x-api-key": "client-secret",
        "cookie": "a=b",
        "x-enginehouse-model": "refuses",
        "x-enginehouse-anything": "1",
        "x-mine": "kept",
    }
    answer = gateway.http.post("/v1/chat/completions?verbose=1", content=body, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == "bytes-1"
    assert answer.headers["server-timing"] == "queue;dur=1.0, load;dur=2.0, infer;dur=3.0"
    [note] = manager.seen("bytes-1")
    assert note["sha256"] == hashlib.sha256(body).hexdigest()
    assert (note["path"], note["query"]) == ("/v1/chat/completions", "verbose=1")
    sent = note["headers"]
    assert sent["x-enginehouse-model"] == "ok"
    assert sent["x-enginehouse-keep-alive"] == "7.5"
    assert sent["x-enginehouse-attempt"] == "1"
    assert 2 < float(sent["x-enginehouse-deadline"]) <= 3
    assert sent["authorization"] == "Bearer manager-token"
    assert sent["x-mine"] == "kept"
    gone = {"x-api-key", "cookie", "x-enginehouse-anything", "x-max-wait", "accept-encoding"}
    assert not gone & sent.keys()


@pytest.mark.parametrize(("asked", "waits"), [(None, 50), ("600", 50), ("0.5", 0.5), ("0", 0)])
def test_a_request_may_wait_less_but_never_longer(
    gateway: Gateway, manager: Manager, asked: str | None, waits: float
) -> None:
    headers = {"x-request-id": f"wait-{asked}"} | ({"x-max-wait": asked} if asked else {})
    gateway.http.post("/v1/embeddings", json={"model": "ok", "input": "x"}, headers=headers)
    [note] = manager.seen(f"wait-{asked}")
    assert waits - 0.4 < float(note["headers"]["x-enginehouse-deadline"]) <= waits  # 0: only if it need not wait


def test_default_model_and_the_only_model(gateway: Gateway, manager: Manager) -> None:
    assert gateway.http.post("/v1/chat/completions", json={"messages": SAY}).status_code == 200
    headers = {"x-request-id": "only"}
    assert gateway.http.post("/v1/images/generations", json={"prompt": "x"}, headers=headers).status_code == 200
    assert manager.seen("only")[0]["headers"]["x-enginehouse-model"] == "ok"


def test_multipart_passes_untouched(gateway: Gateway, manager: Manager) -> None:
    headers = {"x-request-id": "form"}
    answer = gateway.http.post("/v1/vision/ocr", files={"image": ("a.png", png(8, 8))}, headers=headers)
    assert answer.status_code == 200, answer.text
    [note] = manager.seen("form")
    assert note["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert note["headers"]["x-enginehouse-model"] == "reader"


def test_foreign_server_gets_its_own_model_name_and_everything_else(gateway: Gateway, manager: Manager) -> None:
    body = {"model": "foreign", "messages": SAY, "tools": [{"type": "function"}], "min_p": 0.1, "keep_alive": 0}
    headers = {"x-request-id": "foreign"}
    assert gateway.http.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
    [note] = manager.seen("foreign")
    assert json.loads(note["body"]) == body | {"model": "gguf"}
    assert note["headers"]["x-enginehouse-model"] == "foreign"
    assert note["headers"]["x-enginehouse-keep-alive"] == "0.0"


def test_paths_that_are_no_task_go_to_foreign_servers_alone(gateway: Gateway, manager: Manager) -> None:
    headers = {"x-request-id": "rerank"}
    body = {"model": "foreign", "query": "x", "documents": ["y"]}
    assert gateway.http.post("/v1/rerank", json=body, headers=headers).status_code == 200
    [note] = manager.seen("rerank")
    assert (note["path"], json.loads(note["body"])) == ("/v1/rerank", body | {"model": "gguf"})
    for other in ({"model": "ok"}, {"model": "unknown"}, {}, []):
        answer = gateway.http.post("/v1/rerank", json=other)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_large_body_arrives_whole(gateway: Gateway, manager: Manager) -> None:
    # Compression of noise leaves a picture of a few megabytes, beyond every size at which something is done otherwise.
    picture = png(1400, 1400, noise=True)
    uri = "data:image/png;base64," + base64.b64encode(picture).decode()
    content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": uri}}]
    body = json.dumps({"model": "ok", "messages": [{"role": "user", "content": content}]}).encode()
    assert len(body) > 2**22
    headers = {"content-type": "application/json", "x-request-id": "large"}
    answer = gateway.http.post("/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    [note] = manager.seen("large")
    assert note["sha256"] == hashlib.sha256(body).hexdigest()
    assert note["headers"]["content-length"] == str(len(body))


def test_every_answer_has_an_id_and_a_timing(gateway: Gateway) -> None:
    for path in ("/", "/v1", "/healthz", "/v1/models", "/nowhere", "/docs", "/metrics", "/v1/system/status"):
        answer = httpx2.get(gateway.address + path)
        assert answer.headers["x-request-id"], path
        assert "infer;dur=" in answer.headers["server-timing"], path
