"""`/infer` becomes a request for images: fields, defaults, ranges, and what the answer says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contract.config import Settings
from contract.status import ModelStatus
from contract.tasks.image_generation import Image, ImageGenerationResponse, ImageUsage
from gateway.dialects.ai_inference import AI_INFERENCE, InferenceRequest
from gateway.dialects.dialect import TaskAnswer
from gateway.forwarding.model_table import ModelTable
from tests.support.seed_examples import INFERENCE_API

HASH = "5e" * 32
CHECKPOINT = ModelStatus(id=HASH, engine="diffusers_image", tasks=("image-generation",), aliases=("model1.ckpt",))
MODELS = ModelTable([CHECKPOINT])
ROUTE = AI_INFERENCE.routes[0]

PRINTED = INFERENCE_API | {"model_id": HASH}
SHORTEST = {"id": "1", "model_id": HASH, "prompt": "a lake"}


def drawn(*seeds: int, size: str | None = "512x512") -> TaskAnswer:
    images = [Image(b64_json=f"image {seed}", seed=seed) for seed in seeds]
    usage = ImageUsage(latency=5.67, seed=seeds[0])
    return TaskAnswer(ImageGenerationResponse(created=1, data=images, size=size, usage=usage), CHECKPOINT)


def test_request_asks_for_images_with_its_parameters() -> None:
    [query] = ROUTE.to_task(InferenceRequest.model_validate(PRINTED), MODELS)

    assert query.task.name == "image-generation"
    assert query.request.model_dump(exclude_defaults=True) == {
        "model": HASH,
        "prompt": PRINTED["prompt"],
        "negative_prompt": "blurry, low quality",
        "steps": 30,
        "guidance": 7.5,
        "size": "512x512",
        "seed": 42,
    }


def test_defaults_are_those_of_the_api() -> None:
    [query] = ROUTE.to_task(InferenceRequest.model_validate(SHORTEST), MODELS)
    request = query.request

    assert (request.steps, request.guidance, request.size, request.n) == (30, 7.5, "512x512", 1)
    assert (request.seed, request.negative_prompt) == (None, None)


def test_file_is_found_by_its_name() -> None:
    [query] = ROUTE.to_task(InferenceRequest.model_validate({**SHORTEST, "model_id": "model1.ckpt"}), MODELS)

    assert query.request.model == HASH


def test_answer_has_every_field_of_the_api() -> None:
    answer = ROUTE.from_task(InferenceRequest.model_validate(PRINTED), [drawn(42, 43)])

    assert answer.model_dump() == {
        "id": "unique-request-id",
        "model_id": HASH,
        "images": [{"base64": f"image {seed}", "seed": seed, "width": 512, "height": 512} for seed in (42, 43)],
        "processing_time": 5.67,
        "prompt": PRINTED["prompt"],
        "negative_prompt": "blurry, low quality",
        "num_inference_steps": 30,
        "guidance_scale": 7.5,
    }


def test_answer_tells_the_size_that_was_drawn() -> None:
    request = InferenceRequest.model_validate({**SHORTEST, "width": 500})

    assert ROUTE.from_task(request, [drawn(1, size="504x512")]).images[0].width == 504
    assert ROUTE.from_task(request, [drawn(1, size=None)]).images[0].width == 500


@pytest.mark.parametrize(
    ("field", "wrong", "right"),
    [
        ("num_inference_steps", [0, 151, "x"], [1, 150]),
        ("guidance_scale", [0.9, 20.1], [1, 20.0]),
        ("width", [255, 1025], [256, 1024]),
        ("height", [255, 1025], [256, 1024]),
        ("num_images", [0, 5], [1, 4]),
        ("seed", [-1, 2**63], [0, 2**63 - 1]),
        ("prompt", ["", "x" * 1001], ["x" * 1000]),
        ("id", [None, 7], ["a"]),
        ("model_id", [None], ["a"]),
    ],
)
def test_values_out_of_range_are_refused(field: str, wrong: list[Any], right: list[Any]) -> None:
    for value in right:
        InferenceRequest.model_validate({**SHORTEST, field: value})
    for value in wrong:
        with pytest.raises(ValidationError, match=field):
            InferenceRequest.model_validate({**SHORTEST, field: value})


@pytest.mark.parametrize("field", ["id", "model_id", "prompt"])
def test_required_fields(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        InferenceRequest.model_validate({name: value for name, value in SHORTEST.items() if name != field})


def test_settings_have_the_same_defaults_and_ranges() -> None:
    fields = InferenceRequest.model_fields
    for name, setting in ROUTE.defaults.items():
        configured = type(Settings().gateway).model_fields[setting]
        assert (configured.default, configured.metadata) == (fields[name].default, fields[name].metadata)
