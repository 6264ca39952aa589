"""The homelab's captions, embeddings, OCR and crawls become tasks, and their answers the homelab's."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contract.errors import InvalidField
from contract.media import ImageInput
from contract.status import ModelStatus, Status
from contract.tasks.caption import CaptionResponse
from contract.tasks.crawl import CrawlResponse
from contract.tasks.embeddings import EmbeddingsResponse
from contract.tasks.ocr import OcrResponse
from gateway.dialects.dialect import TaskAnswer
from gateway.dialects.homelab import HOMELAB, CrawlPageRequest, EmbedTextsRequest, ImagesRequest
from gateway.forwarding.model_table import ModelTable
from tests.support.sample_images import png

MODELS = ModelTable([])
ROUTES = {route.path: route for route in HOMELAB.routes}
IMAGE, OTHER = (ImageInput(png(size, size)).as_text() for size in (8, 9))
ON_HUB = ModelStatus(id="blip-base", engine="blip", tasks=(), source="Salesforce/blip-image-captioning-base")
LOCAL = ModelStatus(id="ocr", engine="rapidocr", tasks=())


def items(*texts: str, **fields: Any) -> dict[str, Any]:
    data = [{"index": i, "width": 1, "height": 1, "text": text, **fields} for i, text in enumerate(texts)]
    return {"model": "m", "data": data, "usage": {"images": len(texts), "latency": 0.15}}


def test_caption_of_one_image() -> None:
    route, request = ROUTES["/api/caption"], ImagesRequest(image=IMAGE, model="blip-base")
    [query] = route.to_task(request, MODELS)
    answer = route.from_task(request, [TaskAnswer(CaptionResponse(**items("a cat")), ON_HUB)])

    assert (query.task.name, query.request.model, query.request.image) == ("caption", "blip-base", request.image)
    assert answer.model_dump() == {
        "request_id": "",
        "caption": "a cat",
        "model_used": "blip-base",
        "hf_model": "Salesforce/blip-image-captioning-base",
        "processing_time_ms": 150,
    }


def test_captions_of_a_batch_are_in_order() -> None:
    route, request = ROUTES["/api/caption"], ImagesRequest(image=IMAGE, batch=[OTHER, IMAGE])
    single, batch = route.to_task(request, MODELS)
    replies = [TaskAnswer(CaptionResponse(**items(*texts)), LOCAL) for texts in [("one",), ("two", "three")]]
    answer = route.from_task(request, replies)

    assert (single.request.image, batch.request.images) == (request.image, request.batch)
    assert (answer.caption, answer.captions) == ("one", ["one", "two", "three"])
    assert answer.processing_time_ms == 300
    assert "hf_model" not in answer.model_dump()


def test_text_in_an_image() -> None:
    route, request = ROUTES["/api/ocr"], ImagesRequest(image=IMAGE)
    line = {"text": "hello", "score": 1.0, "polygon": [(0.0, 0.0)]}
    [query] = route.to_task(request, MODELS)
    answer = route.from_task(request, [TaskAnswer(OcrResponse(**items("hello", lines=[line])), LOCAL)])

    assert query.task.name == "ocr"
    assert (answer.text, [found.model_dump() for found in answer.lines]) == ("hello", [line])
    assert "texts" not in answer.model_dump()


def test_texts_are_embedded_in_order() -> None:
    route, request = ROUTES["/api/embed"], EmbedTextsRequest(texts=["text1", "text2"])
    [query] = route.to_task(request, MODELS)
    vectors = [{"index": i, "embedding": [i, 0.5]} for i in range(2)]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    reply = EmbeddingsResponse.model_validate({"model": "minilm", "data": vectors, "usage": usage})
    answer = route.from_task(request, [TaskAnswer(reply, LOCAL)])

    assert (query.task.name, query.request.input, query.request.encoding_format) == (
        "embeddings", ["text1", "text2"], "float",
    )  # fmt: skip
    assert answer.model_dump() == {
        "request_id": "",
        "embeddings": [[0.0, 0.5], [1.0, 0.5]],
        "dimensions": 2,
        "model_used": "ocr",
    }


def test_image_is_required() -> None:
    with pytest.raises(InvalidField, match="`image`, or several as `batch`"):
        ImagesRequest(batch=[])


@pytest.mark.parametrize("texts", [None, [], "text", [1]])
def test_texts_are_required(texts: Any) -> None:
    with pytest.raises(ValidationError, match="texts"):
        EmbedTextsRequest.model_validate({"texts": texts})


@pytest.mark.parametrize(
    ("source", "shown"),
    [("BAAI/bge-m3", "BAAI/bge-m3"), ("/models/bge", None), ("./bge/x", None), ("package:a/b", None), ("", None)],
)
def test_hub_name_is_told_for_models_of_the_hub(source: str, shown: str | None) -> None:
    model = ModelStatus(id="m", engine="blip", tasks=(), source=source)
    answer = ROUTES["/api/caption"].from_task(
        ImagesRequest(image=IMAGE), [TaskAnswer(CaptionResponse(**items("a")), model)]
    )

    assert answer.hf_model == shown


def test_page_is_crawled_with_the_apis_defaults() -> None:
    route, request = ROUTES["/api/crawl"], CrawlPageRequest(url="https://example.com")
    [query] = route.to_task(request, MODELS)
    page = {"url": "https://example.com/", "title": "Page Title", "text": "Clean text", "fetch_time_ms": 2000}
    rest = {"model": "crawl", "status": 200, "format": "text", "metadata": {}}
    answers = [
        route.from_task(request, [TaskAnswer(CrawlResponse.model_validate({**page, **rest, **shot}), LOCAL)])
        for shot in ({}, {"screenshot_base64": "iVBO"})
    ]

    sent = query.request
    assert (query.task.name, sent.url, sent.screenshot, sent.wait_for_js) == ("crawl", request.url, False, True)
    assert answers[0].model_dump() == {"request_id": "", **page}
    assert answers[1].model_dump() == {"request_id": "", **page, "screenshot_base64": "iVBO"}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "example.com", "", "https://a b"])
def test_page_needs_a_whole_url(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        CrawlPageRequest(url=url)


def test_status_counts_loaded_models_and_gpu_memory() -> None:
    device = {"foreign": 0, "budget": 9, "committed": 1, "total": 10}
    status = Status.model_validate(
        {
            "version": "1", "uptime": 2.5, "seq": 1, "waiting": 3, "leases": 2,
            "devices": [
                {"id": "cuda:0", "name": "RTX", "kind": "cuda", "used": 7, **device},
                {"id": "cpu", "name": "CPU", "kind": "cpu", "used": 5, **device},
            ],
            "workers": [
                {"worker": "a#1", "model": "a", "state": "ready", "memory_bytes": 4},
                {"worker": "b#1", "model": "b", "state": "starting", "memory_bytes": 1},
            ],
            "models": [
                {"id": "a", "engine": "fake", "tasks": ["ocr"], "state": "ready"},
                {"id": "b", "engine": "fake", "tasks": ["chat"], "state": "starting", "waiting": 3},
            ],
        }
    )  # fmt: skip
    answer = HOMELAB.controls[0].from_status(None, status).model_dump(exclude={"devices"})

    assert answer == {
        "status": "healthy",
        "version": "1",
        "uptime_seconds": 2.5,
        "active_requests": 2,
        "waiting_requests": 3,
        "models_loaded": ["a"],
        "models": [
            {"id": "a", "tasks": ("ocr",), "state": "ready", "waiting": 0, "memory_bytes": 4},
            {"id": "b", "tasks": ("chat",), "state": "starting", "waiting": 3, "memory_bytes": 1},
        ],
        "gpu_memory_used_bytes": 7,
    }
