"""The API of a homelab's AI services under `/api`: captions, embeddings, the text in images, and web pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from pydantic import Field, model_validator

from contract.errors import InvalidField
from contract.lazy_model import LazyModel
from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.omittable import Omittable
from contract.sample_image import SAMPLE_IMAGE
from contract.status import LOADED, DeviceStatus, Status
from contract.tasks import Task
from contract.tasks.caption import CAPTION
from contract.tasks.crawl import CRAWL, CrawlRequest, PageUrl
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsRequest
from contract.tasks.ocr import OCR, OcrLine
from gateway.dialects.dialect import (
    ApiDialect,
    ControlRoute,
    DialectRequest,
    DialectResponse,
    DialectRoute,
    IdentifiedResponse,
    TaskAnswer,
    TaskQuery,
)
from gateway.forwarding.model_table import ModelTable


class ImagesRequest(DialectRequest):
    """One image as `image`, several as `batch`, or both. `model` is the task's default if it is left out."""

    image: ImageInput | None = None
    model: Name | None = None
    batch: Items[ImageInput] | None = None

    @model_validator(mode="after")
    def _check_images(self) -> ImagesRequest:
        if not (self.image or self.batch):
            raise InvalidField("Send an image as `image`, or several as `batch`.", param="image")
        return self


class ImageAnswer(IdentifiedResponse):
    """`model_used` is the model's id here, `hf_model` its name on the hub, if it has one."""

    model_used: str
    hf_model: Omittable[str] = None
    processing_time_ms: int


class CaptionsResponse(ImageAnswer):
    """`caption` is that of the first image, `captions` are those of all images, if the request has a `batch`."""

    caption: str
    captions: Omittable[list[str]] = None


class TextsInImagesResponse(ImageAnswer):
    """`text` and `lines` are those of the first image, `texts` those of all images, if the request has a `batch`."""

    text: str
    lines: list[OcrLine]
    texts: Omittable[list[str]] = None


class EmbedTextsRequest(DialectRequest):
    """The texts to embed, in the order of the answer's vectors."""

    texts: Items[Text] = Field(min_length=1)
    model: Name | None = None


class EmbedTextsResponse(IdentifiedResponse):
    """A vector of `dimensions` numbers for each text."""

    embeddings: list[list[float]]
    dimensions: int
    model_used: str
    hf_model: Omittable[str] = None


class CrawlPageRequest(DialectRequest):
    """The page at `url`. `wait_for_js`: run its scripts first; `screenshot`: answer with an image of it too."""

    url: PageUrl
    screenshot: bool = False
    wait_for_js: bool = True
    model: Name | None = None


class CrawlPageResponse(IdentifiedResponse):
    """The page's title and readable text. `url` is where redirects led, `screenshot_base64` a PNG."""

    url: str
    title: str
    text: str
    screenshot_base64: Omittable[str] = None
    fetch_time_ms: int


class ModelActivity(LazyModel):
    """A configured model. `memory_bytes` is what its workers take, 0 without any."""

    id: str
    tasks: tuple[str, ...]
    state: str
    waiting: int
    memory_bytes: int


class HomelabStatusResponse(DialectResponse):
    """How the service is. `active_requests` are at a worker, `waiting_requests` wait for one; memory is in bytes."""

    status: str = "healthy"
    version: str
    uptime_seconds: float
    active_requests: int
    waiting_requests: int
    models_loaded: list[str]
    models: list[ModelActivity]
    gpu_memory_used_bytes: int
    devices: list[DeviceStatus]


def _to_images(task: Task[Any, Any], request: ImagesRequest, _: ModelTable) -> Sequence[TaskQuery]:
    """A query for the single image, and one for the batch, which the model gets at once."""
    queries = []
    if request.image:
        queries.append(TaskQuery(task, task.request(model=request.model, image=request.image)))
    if request.batch:
        query = task.request(model=request.model, images=request.batch)
        queries.append(TaskQuery(task, query, {"images": "batch"}))
    return queries


def _shared(answers: Sequence[TaskAnswer]) -> dict[str, Any]:
    seconds = sum(answer.response.usage.latency for answer in answers)
    return {**_model(answers[0]), "processing_time_ms": round(seconds * 1000)}


def _model(answer: TaskAnswer) -> dict[str, Any]:
    return {"model_used": answer.model.id, "hf_model": answer.model.hub_id}


def _items(answers: Sequence[TaskAnswer]) -> list[Any]:
    return [item for answer in answers for item in answer.response.data]


def _from_captions(request: ImagesRequest, answers: Sequence[TaskAnswer]) -> CaptionsResponse:
    captions = [item.text for item in _items(answers)]
    return CaptionsResponse(**_shared(answers), caption=captions[0], captions=captions if request.batch else None)


def _from_ocr(request: ImagesRequest, answers: Sequence[TaskAnswer]) -> TextsInImagesResponse:
    items = _items(answers)
    texts = [item.text for item in items] if request.batch else None
    return TextsInImagesResponse(**_shared(answers), text=items[0].text, lines=items[0].lines, texts=texts)


def _to_embeddings(request: EmbedTextsRequest, _: ModelTable) -> Sequence[TaskQuery]:
    return [TaskQuery(EMBEDDINGS, EmbeddingsRequest(model=request.model, input=request.texts))]


def _from_embeddings(_: EmbedTextsRequest, answers: Sequence[TaskAnswer]) -> EmbedTextsResponse:
    vectors = [item.embedding for item in answers[0].response.data]
    return EmbedTextsResponse(embeddings=vectors, dimensions=len(vectors[0]), **_model(answers[0]))


def _to_crawl(request: CrawlPageRequest, _: ModelTable) -> Sequence[TaskQuery]:
    fields = request.model_dump(include={"url", "screenshot", "wait_for_js", "model"})
    return [TaskQuery(CRAWL, CrawlRequest(**fields))]


def _from_crawl(_: CrawlPageRequest, answers: Sequence[TaskAnswer]) -> CrawlPageResponse:
    page = answers[0].response
    return CrawlPageResponse(**page.model_dump(include={"url", "title", "text", "screenshot_base64", "fetch_time_ms"}))


def _from_status(_: None, status: Status) -> HomelabStatusResponse:
    memory = Counter[str]()
    for worker in status.workers:
        memory[worker.model] += worker.memory_bytes
    loaded = {worker.model for worker in status.workers if worker.state in LOADED}
    return HomelabStatusResponse(
        version=status.version,
        uptime_seconds=status.uptime,
        active_requests=status.leases,
        waiting_requests=status.waiting,
        models_loaded=sorted(loaded),
        models=[
            ModelActivity(id=m.id, tasks=m.tasks, state=m.state, waiting=m.waiting, memory_bytes=memory[m.id])
            for m in status.models
        ],
        gpu_memory_used_bytes=sum(device.used for device in status.devices if device.kind != "cpu"),
        devices=status.devices,
    )


_TIMED = {"request_id": "uuid", "processing_time_ms": 150}

HOMELAB = ApiDialect(
    name="homelab",
    title="Homelab AI Services API",
    description="Captions, embeddings, OCR and web pages under `/api`, with upper-case error codes.",
    seed="003",
    routes=(
        DialectRoute(
            "/api/caption", "Describe images", ImagesRequest, CaptionsResponse,
            partial(_to_images, CAPTION), _from_captions, (CAPTION,), {"image": SAMPLE_IMAGE},
            {**_TIMED, "caption": "A description of the image", "model_used": "blip-base"},
        ),
        DialectRoute(
            "/api/embed", "Embed texts", EmbedTextsRequest, EmbedTextsResponse,
            _to_embeddings, _from_embeddings, (EMBEDDINGS,), {"texts": ["text1", "text2"]},
            {"request_id": "uuid", "embeddings": [[0.1, 0.2], [0.3, 0.4]], "dimensions": 384,
             "model_used": "all-MiniLM-L6-v2"}, {"input": "texts"}, selector="texts",
        ),
        DialectRoute(
            "/api/ocr", "Read the text in images", ImagesRequest, TextsInImagesResponse,
            partial(_to_images, OCR), _from_ocr, (OCR,), {"image": SAMPLE_IMAGE},
            {**_TIMED, "text": "The text in the image", "lines": [], "model_used": "ocr"},
        ),
        DialectRoute(
            "/api/crawl", "Read a web page", CrawlPageRequest, CrawlPageResponse, _to_crawl, _from_crawl, (CRAWL,),
            {"url": "https://example.com", "screenshot": False, "wait_for_js": True},
            {"request_id": "uuid", "url": "https://example.com", "title": "Page Title",
             "text": "Extracted clean text...", "fetch_time_ms": 2000},
        ),
    ),
    controls=(
        ControlRoute(
            "GET", "/api/status", "The service, its models and devices", HomelabStatusResponse,
            lambda *_: (), _from_status, {"status": "healthy", "models_loaded": ["blip-base"], "active_requests": 1},
        ),
    ),
)  # fmt: skip
