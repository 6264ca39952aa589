"""The API of a server of Stable Diffusion checkpoints, which its clients name by the SHA-256 of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from contract.lazy_model import LazyModel
from contract.limits import Name
from contract.tasks.image_generation import IMAGE_GENERATION, MAX_SEED, ImageGenerationRequest
from gateway.dialects.dialect import (
    ApiDialect,
    DialectRequest,
    DialectResponse,
    DialectRoute,
    TaskAnswer,
    TaskQuery,
)
from gateway.forwarding.model_table import ModelTable


class InferenceRequest(DialectRequest):
    """Draws `num_images` images. `id` is the client's own name of the request, `model_id` a model or a file's hash.

    Width and height are in pixels. Without a seed, the images have random ones.
    """

    id: Name
    model_id: Name
    prompt: str = Field(min_length=1, max_length=1000)
    negative_prompt: str | None = Field(None, max_length=1000)
    num_inference_steps: int = Field(30, ge=1, le=150)
    guidance_scale: float = Field(7.5, ge=1, le=20)
    width: int = Field(512, ge=256, le=1024)
    height: int = Field(512, ge=256, le=1024)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    num_images: int = Field(1, ge=1, le=4)


class InferredImage(LazyModel):
    """One image: base64 of a PNG, the seed that reproduces it, and its size in pixels."""

    base64: str
    seed: int
    width: int
    height: int


class InferenceResponse(DialectResponse):
    """The images, and the request's fields that they were drawn with. `processing_time` is in seconds."""

    id: str
    model_id: str
    images: list[InferredImage]
    processing_time: float
    prompt: str
    negative_prompt: str | None
    num_inference_steps: int
    guidance_scale: float


def _to_task(request: InferenceRequest, models: ModelTable) -> Sequence[TaskQuery]:
    drawing = ImageGenerationRequest(
        model=models.get(request.model_id).id,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        steps=request.num_inference_steps,
        guidance=request.guidance_scale,
        size=f"{request.width}x{request.height}",
        seed=request.seed,
        n=request.num_images,
    )
    return [TaskQuery(IMAGE_GENERATION, drawing)]


def _from_task(request: InferenceRequest, answers: Sequence[TaskAnswer]) -> InferenceResponse:
    drawn = answers[0].response
    width, height = (int(side) for side in (drawn.size or f"{request.width}x{request.height}").split("x"))
    return InferenceResponse(
        id=request.id,
        model_id=answers[0].model.id,
        images=[
            InferredImage(base64=image.b64_json, seed=image.seed, width=width, height=height) for image in drawn.data
        ],
        processing_time=drawn.usage.latency,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        num_inference_steps=request.num_inference_steps,
        guidance_scale=request.guidance_scale,
    )


_EXAMPLE: dict[str, Any] = {
    "id": "unique-request-id",
    "model_id": "image-gen",
    "prompt": "A beautiful landscape with mountains and a lake",
    "negative_prompt": "blurry, low quality",
    "num_inference_steps": 30,
    "guidance_scale": 7.5,
    "width": 512,
    "height": 512,
    "seed": 42,
    "num_images": 1,
}
_ANSWER: dict[str, Any] = {
    "id": "unique-request-id",
    "model_id": "image-gen",
    "images": [{"base64": "…", "seed": 42, "width": 512, "height": 512}],
    "processing_time": 5.67,
    **{name: _EXAMPLE[name] for name in ("prompt", "negative_prompt", "num_inference_steps", "guidance_scale")},
}
_FIELDS = {
    "model": "model_id",
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "n": "num_images",
    "size": "width",
}
_DEFAULTS = {"num_inference_steps": "infer_steps", "guidance_scale": "infer_guidance"}


def _route(path: str) -> DialectRoute:
    return DialectRoute(
        path, "Draw images with a checkpoint", InferenceRequest, InferenceResponse,
        _to_task, _from_task, (IMAGE_GENERATION,), _EXAMPLE, _ANSWER, _FIELDS, defaults=_DEFAULTS,
    )  # fmt: skip


AI_INFERENCE = ApiDialect(
    name="ai-inference",
    title="AI Inference API",
    description="Images by Stable Diffusion checkpoints, found in the model folders and named by their hash.",
    seed="002",
    routes=(_route("/infer"), _route("/v1/infer")),
)
