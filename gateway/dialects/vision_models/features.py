"""DINOv3: the features of each image, of all tokens and pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from contract.arrays import Array
from contract.lazy_model import LazyModel
from contract.omittable import Omittable
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks.features import FEATURES, FeaturesItem
from gateway.dialects.dialect import DialectRoute, TaskAnswer, TaskQuery
from gateway.dialects.vision_models.request import (
    FIELDS,
    VisionModelRequest,
    VisionModelResponse,
    query,
    shared_fields,
)
from gateway.forwarding.model_table import ModelTable

FeatureName = Literal["last_hidden_state", "pooler_output"]


class DinoV3Request(VisionModelRequest):
    """`features` chooses what is returned; `normalize` scales every vector to length one.

    `encoding_format` `base64` returns little-endian float32, one text for each image, instead of lists of numbers.
    """

    features: Annotated[tuple[FeatureName, ...], Field(min_length=1, max_length=2)] = (
        "last_hidden_state",
        "pooler_output",
    )
    normalize: bool = False
    encoding_format: Literal["float", "base64"] = "float"


class FeatureTensors(LazyModel):
    """(images, tokens, dimensions): class token, registers, patches; and (images, dimensions)."""

    last_hidden_state: Omittable[list[Array]] = None
    pooler_output: Omittable[list[Array]] = None
    last_hidden_state_shape: Omittable[tuple[int, int, int]] = None
    pooler_output_shape: Omittable[tuple[int, int]] = None


class DinoV3Response(VisionModelResponse):
    """The features of all images, in order."""

    features: FeatureTensors


def to_features(request: DinoV3Request, models: ModelTable) -> Sequence[TaskQuery]:
    """One request for all images."""
    fields = {
        "pooled": "pooler_output" in request.features,
        "tokens": "last_hidden_state" in request.features,
        "normalize": request.normalize,
        "encoding_format": request.encoding_format,
    }
    return [query(FEATURES, request, "dinov3", models, **fields)]


def from_features(_: DinoV3Request, answers: Sequence[TaskAnswer]) -> DinoV3Response:
    """The images' arrays, one below the other."""
    items: list[FeaturesItem] = answers[0].response.data
    tokens = [item.tokens for item in items if item.tokens]
    pooled = [item.pooled for item in items if item.pooled is not None]
    features = FeatureTensors(
        last_hidden_state=[each.data for each in tokens] or None,
        pooler_output=pooled or None,
        last_hidden_state_shape=(len(items), *tokens[0].shape) if tokens else None,
        pooler_output_shape=(len(items), items[0].dimensions) if pooled else None,
    )
    return DinoV3Response(features=features, **shared_fields(answers[0]))


FEATURES_ROUTE = DialectRoute(
    "/inference/dinov3",
    "Features with DINOv3",
    DinoV3Request,
    DinoV3Response,
    to_features,
    from_features,
    (FEATURES,),
    {"images": [SAMPLE_IMAGE]},
    {
        "features": {
            "last_hidden_state": [[[0.1, -0.2]]],
            "pooler_output": [[0.1, -0.2]],
            "last_hidden_state_shape": [1, 201, 768],
            "pooler_output_shape": [1, 768],
        },
        "model_id": "facebook/dinov3-vitb16-pretrain-lvd1689m",
        "model": "dinov3",
        "processing_time": 0.2,
    },
    FIELDS,
)
