"""Successful requests for tasks: what the client gets, and what the manager receives."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import struct

import openai
import pytest
from PIL import Image

from contract.image_loading import open_image
from contract.media import ImageInput, data_uri
from scripts.testbed.images import FILES
from tests.support.gateway_processes import FakeManagerProcess, GatewayProcess
from tests.support.sample_images import png

SAY = [{"role": "user", "content": "hi"}]


def test_openai_sdk(sdk: openai.OpenAI) -> None:
    assert sdk.chat.completions.create(model="ok", messages=SAY).choices[0].message.content == "hello"
    assert sdk.embeddings.create(model="ok", input="x", encoding_format="float").data[0].embedding == [0.5, 0.25]
    assert sdk.images.generate(model="ok", prompt="a cat").data[0].b64_json == "aGk="
    assert "ok" in {model.id for model in sdk.models.list()}
    assert sdk.models.retrieve("fine").id == "ok", "aliases are resolved"
    assert sdk.models.retrieve("org/slashed").id == "org/slashed"


def test_forwards_the_original_bytes_with_our_headers(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    # Parsing and serializing would lose the spaces and the order of the fields.
    body = b'{ "zzz":1,"model" : "fine",  "messages":[{"role":"user","content":"hi"}], "keep_alive": "5m" }'
    headers = {
        "content-type": "application/json",
        "x-request-id": "bytes-1",
        "x-max-wait": "3",
        "authorization": "Bearer client-secret",
        "x-api-key": "client-secret",
        "cookie": "a=b",
        "x-enginehouse-model": "refuses",
        "x-enginehouse-anything": "1",
        "origin": gateway.address,
        "sec-fetch-site": "same-origin",
        "x-custom": "kept",
    }
    answer = gateway.http.post("/v1/chat/completions?verbose=1", content=body, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == "bytes-1"
    assert answer.headers["server-timing"] == "queue;dur=1.0, load;dur=2.0, infer;dur=3.0"
    [received] = manager.received("bytes-1")
    assert received["sha256"] == hashlib.sha256(body).hexdigest()
    assert (received["path"], received["query"]) == ("/v1/chat/completions", "verbose=1")
    sent = received["headers"]
    assert sent["x-enginehouse-model"] == "ok"
    assert sent["x-enginehouse-keep-alive"] == "300.0"
    assert sent["x-enginehouse-attempt"] == "1"
    assert 0 < float(sent["x-enginehouse-deadline"]) <= 3
    assert sent["authorization"] == "Bearer manager-token"
    assert sent["x-custom"] == "kept"
    removed = {"x-api-key", "cookie", "x-enginehouse-anything", "x-max-wait", "accept-encoding"}
    removed |= {"origin", "sec-fetch-site"}
    assert not removed & sent.keys()


@pytest.mark.parametrize("model", ["fine", "external"])
def test_compressed_body_is_forwarded_unpacked(
    gateway: GatewayProcess, manager: FakeManagerProcess, model: str
) -> None:
    body = json.dumps({"model": model, "messages": SAY}).encode()
    headers = {"content-type": "application/json", "content-encoding": "gzip", "x-request-id": f"packed-{model}"}
    answer = gateway.http.post("/v1/chat/completions", content=gzip.compress(body), headers=headers)
    assert answer.status_code == 200, answer.text
    [received] = manager.received(f"packed-{model}")
    assert json.loads(received["body"])["messages"] == SAY
    assert "content-encoding" not in received["headers"]
    assert received["headers"]["content-length"] == str(len(received["body"]))


def test_uses_the_default_model_or_the_only_one(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    assert gateway.http.post("/v1/chat/completions", json={"messages": SAY}).status_code == 200
    headers = {"x-request-id": "only"}
    assert gateway.http.post("/v1/images/generations", json={"prompt": "x"}, headers=headers).status_code == 200
    assert manager.received("only")[0]["headers"]["x-enginehouse-model"] == "ok"


def test_forwards_multipart_unchanged(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    headers = {"x-request-id": "form"}
    answer = gateway.http.post("/v1/vision/ocr", files={"image": ("a.png", png(8, 8))}, headers=headers)
    assert answer.status_code == 200, answer.text
    [received] = manager.received("form")
    assert received["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert received["headers"]["x-enginehouse-model"] == "reader"


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/v1//chat//completions", "/v1/chat/completions/", "/embeddings//"]
)
def test_path_with_other_slashes_or_without_v1_is_found(gateway: GatewayProcess, path: str) -> None:
    answer = gateway.http.post(path, json={"model": "ok", "messages": SAY, "input": "x"})
    assert answer.status_code == 200
    assert answer.json()["object"] in {"chat.completion", "list"}


@pytest.mark.parametrize("path", ["/v2/chat/completions", "/v1/v1/chat/completions", "/chat/completions/x"])
def test_other_paths_stay_unknown(gateway: GatewayProcess, path: str) -> None:
    assert gateway.http.post(path, json={"model": "ok", "messages": SAY}).status_code == 404


def test_preset_goes_to_its_model_in_a_header(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    body = b'{"model" : "pirate",  "messages":[{"role":"user","content":"hi"}]}'
    headers = {"content-type": "application/json", "x-request-id": "preset", "x-enginehouse-preset": "forged"}
    assert gateway.http.post("/v1/chat/completions", content=body, headers=headers).status_code == 200
    [received] = manager.received("preset")
    assert received["body"].encode() == body
    assert received["headers"]["x-enginehouse-model"] == "ok"
    assert received["headers"]["x-enginehouse-preset"] == "pirate"


def test_external_server_gets_its_model_name_and_all_fields(
    gateway: GatewayProcess, manager: FakeManagerProcess
) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = {"model": "external", "messages": SAY, "tools": tools, "min_p": 0.1, "keep_alive": 0}
    headers = {"x-request-id": "external"}
    assert gateway.http.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
    [received] = manager.received("external")
    assert json.loads(received["body"]) == body | {"model": "gguf"}
    assert received["headers"]["x-enginehouse-model"] == "external"
    assert received["headers"]["x-enginehouse-keep-alive"] == "0.0"


def test_vectors_of_external_servers_come_as_asked_for(gateway: GatewayProcess) -> None:
    """The fake manager answers with numbers, whatever the request says."""
    packed = base64.b64encode(struct.pack("<2f", 0.5, 0.25)).decode()
    for form, expected in (("float", [0.5, 0.25]), ("base64", packed)):
        body = {"model": "external-vectors", "input": "x", "encoding_format": form}
        assert gateway.http.post("/v1/embeddings", json=body).json()["data"][0]["embedding"] == expected


@pytest.mark.parametrize("kind", ["JPEG with EXIF orientation", "HEIC", "JPEG, Display P3", "PNG with alpha"])
def test_external_server_gets_normalized_images(
    gateway: GatewayProcess, manager: FakeManagerProcess, kind: str
) -> None:
    file = next(row for row in FILES if row.kind == kind)
    headers = {"x-request-id": f"seer-{kind.partition(' ')[0].rstrip(',').lower()}-{len(kind)}"}
    body = {"model": "external-seer", "image": data_uri(file.content())}
    gateway.http.post("/v1/vision/ocr", json=body, headers=headers)
    [received] = manager.received(headers["x-request-id"])
    sent = base64.b64decode(json.loads(received["body"])["image"].partition(",")[2])
    with Image.open(io.BytesIO(sent)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert image.tobytes() == open_image(ImageInput(file.content())).tobytes()


def test_plain_image_reaches_an_external_server_as_it_is(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    body = json.dumps({"image": data_uri(png(8, 8)), "model": "external-seer"}).encode()
    headers = {"x-request-id": "seer-plain", "content-type": "application/json"}
    gateway.http.post("/v1/vision/ocr", content=body, headers=headers)
    assert manager.received("seer-plain")[0]["body"].encode() == body


def test_unknown_paths_reach_only_external_servers(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    headers = {"x-request-id": "moderations"}
    body = {"model": "external", "input": "x"}
    assert gateway.http.post("/v1/moderations", json=body, headers=headers).status_code == 200
    [received] = manager.received("moderations")
    assert (received["path"], json.loads(received["body"])) == ("/v1/moderations", body | {"model": "gguf"})
    for other, message in (
        (
            {"model": "ok"},
            "engine fake) does not serve POST /v1/moderations. It serves chat at POST /v1/chat/completions",
        ),
        ({"model": "externel"}, "Did you mean 'external'?"),
        ({}, "send the request to /upstream/ID"),
        ([], "There is no endpoint POST /v1/moderations"),
        ({"model": 5}, "There is no endpoint POST /v1/moderations"),
    ):
        answer = gateway.http.post("/v1/moderations", json=other)
        assert answer.status_code == 404
        assert message in answer.json()["error"]["message"]


def test_external_servers_rank_whatever_their_entries_say(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    headers = {"x-request-id": "ranks"}
    body = {"model": "external", "query": "x", "documents": [{"image": "y"}], "odd": 1}
    gateway.http.post("/v1/rerank", json=body, headers=headers)
    [received] = manager.received(headers["x-request-id"])
    assert (received["path"], json.loads(received["body"])) == ("/v1/rerank", body | {"model": "gguf"})
    refused = gateway.http.post("/v1/rerank", json=body | {"model": "ok"})
    assert refused.status_code == 400
    assert "does not support the task rerank" in refused.json()["error"]["message"]


def test_forwards_a_large_body_completely(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    # Noise hardly compresses: a few megabytes, above every threshold at which bodies are handled differently.
    image = png(1400, 1400, noise=True)
    uri = "data:image/png;base64," + base64.b64encode(image).decode()
    content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": uri}}]
    body = json.dumps({"model": "ok", "messages": [{"role": "user", "content": content}]}).encode()
    assert len(body) > 2**22
    headers = {"content-type": "application/json", "x-request-id": "large"}
    answer = gateway.http.post("/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    [received] = manager.received("large")
    assert received["sha256"] == hashlib.sha256(body).hexdigest()
    assert received["headers"]["content-length"] == str(len(body))


def test_every_response_has_a_request_id_and_timing(gateway: GatewayProcess) -> None:
    for path in ("/", "/v1", "/healthz", "/v1/models", "/nowhere", "/docs", "/metrics", "/v1/system/status"):
        answer = gateway.http.get(path)
        assert answer.headers["x-request-id"], path
        assert "infer;dur=" in answer.headers["server-timing"], path
