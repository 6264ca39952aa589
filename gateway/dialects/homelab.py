"""The API of a homelab's AI services: captions, embeddings, and the text in images, under `/api`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from contract.errors import InvalidField
from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.omittable import Omittable
from contract.tasks import Task
from contract.tasks.caption import CAPTION
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsRequest
from contract.tasks.ocr import OCR, OcrLine
from gateway.dialects.dialect import (
    ApiDialect,
    DialectRequest,
    DialectRoute,
    IdentifiedResponse,
    TaskAnswer,
    TaskQuery,
)
from gateway.dialects.sample_image import SAMPLE_IMAGE
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
    source = answer.model.source
    on_hub = source.count("/") == 1 and not source.startswith(("/", ".", "~", "package:"))
    return {"model_used": answer.model.id, "hf_model": source if on_hub else None}


def _items(answers: Sequence[TaskAnswer]) -> list[Any]:
    return [item for answer in answers for item in answer.response.data]


def _to_captions(request: ImagesRequest, models: ModelTable) -> Sequence[TaskQuery]:
    return _to_images(CAPTION, request, models)


def _from_captions(request: ImagesRequest, answers: Sequence[TaskAnswer]) -> CaptionsResponse:
    captions = [item.text for item in _items(answers)]
    return CaptionsResponse(**_shared(answers), caption=captions[0], captions=captions if request.batch else None)


def _to_ocr(request: ImagesRequest, models: ModelTable) -> Sequence[TaskQuery]:
    return _to_images(OCR, request, models)


def _from_ocr(request: ImagesRequest, answers: Sequence[TaskAnswer]) -> TextsInImagesResponse:
    items = _items(answers)
    texts = [item.text for item in items] if request.batch else None
    return TextsInImagesResponse(**_shared(answers), text=items[0].text, lines=items[0].lines, texts=texts)


def _to_embeddings(request: EmbedTextsRequest, _: ModelTable) -> Sequence[TaskQuery]:
    return [TaskQuery(EMBEDDINGS, EmbeddingsRequest(model=request.model, input=request.texts))]


def _from_embeddings(_: EmbedTextsRequest, answers: Sequence[TaskAnswer]) -> EmbedTextsResponse:
    vectors = [item.embedding for item in answers[0].response.data]
    return EmbedTextsResponse(embeddings=vectors, dimensions=len(vectors[0]), **_model(answers[0]))


_TIMED = {"request_id": "uuid", "processing_time_ms": 150}

HOMELAB = ApiDialect(
    name="homelab",
    title="Homelab AI Services API",
    description="Captions, embeddings and OCR under `/api`, with upper-case error codes.",
    seed="003",
    routes=(
        DialectRoute(
            "/api/caption", "Describe images", ImagesRequest, CaptionsResponse,
            _to_captions, _from_captions, (CAPTION,), {"image": SAMPLE_IMAGE},
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
            _to_ocr, _from_ocr, (OCR,), {"image": SAMPLE_IMAGE},
            {**_TIMED, "text": "The text in the image", "lines": [], "model_used": "ocr"},
        ),
    ),
)  # fmt: skip
