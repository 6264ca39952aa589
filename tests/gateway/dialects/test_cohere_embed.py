"""Cohere's requests for embeddings become the task's, and its answers Cohere's."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contract.errors import InvalidField, UnsupportedFeature
from contract.media import ImageInput
from contract.status import ModelStatus
from contract.tasks.embeddings import EmbeddingsRequest, EmbeddingsResponse
from gateway.dialects.cohere import COHERE, CohereEmbedRequest
from gateway.dialects.dialect import TaskAnswer
from gateway.forwarding.model_table import ModelTable
from tests.support.sample_images import png

MODEL = ModelStatus(id="clip", engine="sentence_transformers", tasks=("embeddings",))
ROUTE = next(route for route in COHERE.routes if route.path == "/v2/embed")
IMAGE = ImageInput(png(8, 8)).as_text()
IMAGE_PART = {"type": "image_url", "image_url": {"url": IMAGE}}


def translated(vectors: list[Any], **fields: Any) -> tuple[EmbeddingsRequest, dict[str, Any]]:
    request = CohereEmbedRequest(model="clip", **fields)
    [query] = ROUTE.to_task(request, ModelTable([]))
    data = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    response = EmbeddingsResponse.model_validate({"model": "clip", "data": data, "usage": usage})
    answer = ROUTE.from_task(request, [TaskAnswer(response, MODEL)])
    return query.request, answer.model_dump(mode="json", by_alias=True)


def test_texts_are_embedded_in_order() -> None:
    fields = {"texts": ["a", "b"], "input_type": "search_document", "truncate": "END", "output_dimension": 1}
    request, answer = translated([[1.0], [2.0]], **fields)

    assert (request.inputs, request.truncate, request.dimensions) == (["a", "b"], True, 1)
    assert answer == {
        "id": "",
        "embeddings": {"float": [[1.0], [2.0]]},
        "texts": ["a", "b"],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 3, "images": 0}},
    }


@pytest.mark.parametrize("fields", [{"images": [IMAGE]}, {"inputs": [{"content": [IMAGE_PART]}]}])
def test_images_are_embedded(fields: dict[str, Any]) -> None:
    request, answer = translated(["AACAPw=="], embedding_types=["base64"], input_type="image", **fields)

    [image] = request.inputs
    assert isinstance(image, ImageInput)
    assert (image.read(), request.encoding_format) == (png(8, 8), "base64")
    assert answer["embeddings"] == {"base64": ["AACAPw=="]}
    assert answer["meta"]["billed_units"]["images"] == 1


def test_inputs_mix_texts_and_images() -> None:
    text = {"type": "text", "text": "a"}
    request, _ = translated([[1.0], [2.0]], inputs=[{"content": [IMAGE_PART]}, {"content": [text]}])
    assert [type(item) for item in request.inputs] == [ImageInput, str]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"texts": ["a"], "images": [IMAGE]},
        {"inputs": [{"content": [IMAGE_PART, {"type": "text", "text": "a"}]}]},
        {"inputs": [{"content": [{"type": "text"}]}]},
        {"texts": ["a"], "embedding_types": ["int8"]},
        {"texts": ["a"], "embedding_types": ["float", "base64"]},
        {"texts": ["a"], "truncate": "START"},
    ],
)
def test_refuses_what_it_cannot_do(fields: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, InvalidField)):
        CohereEmbedRequest(**fields)


def test_other_kinds_of_input_have_a_warning() -> None:
    assert not CohereEmbedRequest(texts=["a"], input_type="search_document").warnings()
    [warning] = CohereEmbedRequest(texts=["a"], input_type="search_query").warnings()
    assert "`input_type` had no effect" in warning
    with pytest.raises(UnsupportedFeature, match="max_tokens"):
        CohereEmbedRequest(texts=["a"], max_tokens=5).refuse()
