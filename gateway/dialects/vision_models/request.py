"""What the requests and answers of all four models share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.tasks import Task
from gateway.dialects.dialect import DialectRequest, DialectResponse, TaskAnswer, TaskQuery
from gateway.forwarding.model_table import ModelTable

MODEL_TYPES = {
    "sam3": "sam3",
    "grounding_dino": "grounding-dino",
    "depth_anything": "depth-anything-v3",
    "dinov3": "dinov3",
}
"""The catalogue's name of the model of each type."""

FIELDS = {"model": "model_id", "image": "images", "prompt": "prompts", "format": "output_format"}
"""What this API calls the fields of the tasks."""

Threshold = Annotated[float, Field(ge=0, le=1)]


def _text_of(value: Any) -> Any:
    """The text of an image written as `{"data": …, "format": "base64" or "url"}`; anything else as it is."""
    if not isinstance(value, dict):
        return value
    if unknown := value.keys() - {"data", "format"}:
        raise ValueError(f"an image has the fields `data` and `format`, and not `{min(unknown)[:64]}`")
    data, encoding = value.get("data"), value.get("format", "base64")
    if encoding not in {"base64", "url"}:
        raise ValueError("an image's `format` is `base64` or `url`")
    if encoding == "url" and not str(data).lower().startswith(("http://", "https://")):
        raise ValueError("an image of the format `url` needs an http(s) URL as `data`")
    return data


def _to_list(value: Any) -> Any:
    """A single value as a list of one."""
    return [value] if isinstance(value, str | bytes | dict) else value


SentImages = Annotated[
    Items[Annotated[ImageInput, BeforeValidator(_text_of)]], Field(min_length=1), BeforeValidator(_to_list)
]
"""One or several images: base64, data URIs, http(s) URLs, or objects `{data, format}`."""

Labels = Annotated[Items[Text], Field(min_length=1), BeforeValidator(_to_list)]
"""One or several texts."""


class VisionModelRequest(DialectRequest):
    """`model_id` is another model of the type: its id, an alias, or its name at the hub."""

    images: SentImages
    model_id: Name | None = None


class VisionModelResponse(DialectResponse):
    """`model_id` is the model's name at the hub, or else its id, as `model` is; `processing_time` is in seconds."""

    model_id: str
    model: str
    processing_time: float


def query(
    task: Task[Any, Any], request: VisionModelRequest, model_type: str, models: ModelTable, **fields: Any
) -> TaskQuery:
    """A query for all images to the model that the request names, or to that of the type. Raises ModelNotFound."""
    model = models.get_known(request.model_id or MODEL_TYPES[model_type])
    return TaskQuery(task, task.request(model=model.id, images=request.images, **fields))


def shared_fields(answer: TaskAnswer) -> dict[str, Any]:
    """The fields that all answers have."""
    model, usage = answer.model, answer.response.usage
    return {"model_id": model.hub_id or model.id, "model": model.id, "processing_time": usage.latency}
