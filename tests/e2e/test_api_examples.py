"""Every example of the OpenAPI document, sent as it is printed, gets an answer or says which model is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest

from scripts.testbed.server import RunningServer, fake_model

MODELS = {
    "vlm-best": ["chat", "caption", "analyze", "ocr", "completions"],
    "minilm": ["embeddings"],
    "image-gen": ["image-generation"],
    "bge-reranker": ["rerank"],
}
"""The models that examples name, as fake ones, and the tasks for which they are the default."""
ENDLESS = ("/v1/system/events", "/v1/system/requests/events", "/v1/system/logs/{name}")
"""Streams that end with their client only; other tests read them."""
WITHOUT_MODEL = {
    "/api/delete": "smolvlm",
    "/api/models/{id}": "smolvlm",
    "/api/crawl": "crawl",
    "/inference/depth-anything": "depth-anything-v3",
    "/inference/dinov3": "dinov3",
    "/inference/grounding-dino": "grounding-dino",
    "/inference/sam3": "sam3",
    "/metric_depth": "depth-indoor-large",
    "/models/load": "sam3",
    "/models/pin": "sam3",
    "/models/unload": "sam3",
    "/models/unpin": "sam3",
    "/pc": "depth-indoor-large",
    "/rel_depth": "depth-indoor-large",
    "/v1/audio/speech": "speech",
    "/v1/audio/transcriptions": "transcription",
    "/v1/audio/translations": "translation",
    "/v1/crawl": "crawl",
    "/v1/detokenize": "detokenize",
    "/v1/images/edits": "image-edit",
    "/v1/images/variations": "image-variation",
    "/v1/tokenize": "tokenize",
    "/v1/vision/depth": "depth",
    "/v1/vision/detect": "detect",
    "/v1/vision/features": "features",
    "/v1/vision/pointcloud": "pointcloud",
    "/v1/vision/segment": "segment",
}
"""Paths for which this server has no model, and the model or the task that the error names."""
REFUSED: Mapping[tuple[str, str], tuple[int, str]] = {
    ("put", "/v1/system/configuration"): (412, "configuration_changed"),  # the example's etag is not that of the file
    ("post", "/v1/responses/{response_id}/cancel"): (400, "invalid_request"),  # it does not run in the background
    ("post", "/v1/responses/input_tokens"): (400, "unsupported_task"),  # the fake engine counts no tokens
    ("post", "/v1/messages/count_tokens"): (400, "unsupported_task"),
    ("post", "/api/pull"): (503, "the hub cannot be reached"),
    ("delete", "/v1/system/keys/{name}"): (409, "key_conflict"),  # it is the key of the request itself
    ("post", "/api/copy"): (400, "unsupported_feature"),
    ("post", "/api/create"): (400, "unsupported_feature"),
    ("post", "/api/push"): (400, "unsupported_feature"),
}
"""Examples that are refused whatever the server has, with the status and the code."""


class Reader:
    """Sends the examples, with ids of what earlier ones have made."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.document: dict[str, Any] = server.get("/openapi.json").json()
        example = self.document["paths"]["/v1/system/keys"]["post"]["requestBody"]["content"]["application/json"]
        made = server.post("/v1/system/keys", example["example"])
        assert made.status_code == 201, made.text
        self.headers = {"x-api-key": made.json()["key"]}
        self.ids = self._make_what_paths_name()

    def _make_what_paths_name(self) -> dict[str, str]:
        lines = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}'
        upload = self._request("POST", "/v1/files", files={"file": ("a.jsonl", lines)}, data={"purpose": "batch"})
        file = upload.json()["id"]
        batch = self.body("post", "/v1/batches") | {"input_file_id": file}
        chat = self.body("post", "/jobs/submit/{model_type}")
        job = self._request("POST", "/jobs/submit/chat", json=chat).json()["job_id"]
        for _ in self._request("GET", f"/jobs/{job}/events").iter_lines():
            pass  # until it has ended, so that it has a result
        response = self._request("POST", "/v1/responses", json={"model": "vlm-best", "input": "hello"})
        order = self.body("post", "/api/models/download")
        return {
            "file_id": file,
            "batch_id": self._request("POST", "/v1/batches", json=batch).json()["id"],
            "job_id": job,
            "response_id": response.json()["id"],
            "/api/models/downloads/{id}": self._request("POST", "/api/models/download", json=order).json()["id"],
            "/v1/system/requests/{id}": response.headers["x-request-id"],
            "alias": "minilm",
            "model_id": "minilm",
            "/v1/system/log-pages/{name}": "manager",
        }

    def _request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return self.server.request(method, path, headers=self.headers, **options)

    def body(self, method: str, path: str) -> Any:
        """The example of a JSON body, if the operation has one."""
        content = self.document["paths"][path][method].get("requestBody", {}).get("content", {})
        return content.get("application/json", {}).get("example")

    def send(self, method: str, path: str) -> httpx2.Response:
        """Send the example of an operation."""
        headers, place = dict(self.headers), path
        for parameter in self.document["paths"][path][method].get("parameters", ()):
            name = parameter["name"]
            if parameter["in"] == "path":
                place = place.replace(f"{{{name}}}", self.ids.get(path) or self.ids.get(name) or parameter["example"])
            elif parameter["in"] == "header":
                headers[name] = parameter["example"].encode("ascii", "ignore").decode()
        body = self.body(method, path)
        if body and "input_file_id" in body:
            body |= {"input_file_id": self.ids["file_id"]}
        return self.server.request(method.upper(), place, headers=headers, json=body)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    entries = [{**fake_model(id_), "tasks": tasks, "default": tasks} for id_, tasks in MODELS.items()]
    with RunningServer(tmp_path_factory.mktemp("examples"), entries) as server:
        yield Reader(server)


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    """All operations, those that remove something last."""
    found = [(method, path) for path, methods in document["paths"].items() for method in methods]
    ends = ("/v1/system/reload", "/models/unload-all")
    return sorted(found, key=lambda operation: (operation[0] == "delete", operation[1] in ends))


def test_examples_work_as_printed(reader: Reader) -> None:
    wrong = []
    for method, path in operations(reader.document):
        if path in ENDLESS or (method, path) in {("post", "/v1/files"), ("post", "/v1/system/keys")}:
            continue
        answer = reader.send(method, path)
        expected = REFUSED.get((method, path))
        if missing := WITHOUT_MODEL.get(path):
            is_right = answer.status_code == 404 and missing in answer.text
        elif expected:
            is_right = answer.status_code == expected[0] and expected[1] in answer.text
        else:
            is_right = answer.status_code < 300
        if not is_right:
            wrong.append(f"{method.upper()} {path}: {answer.status_code} {answer.text[:300]}")
    assert not wrong, "\n".join(wrong)
