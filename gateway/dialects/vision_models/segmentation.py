"""SAM 3: masks of what the prompts name, as run lengths, polygons or rows of 0 and 1."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from contract.arrays import Array
from contract.errors import InvalidField
from contract.known_fields import FieldTable, refused
from contract.lazy_model import LazyModel
from contract.limits import Items, Text
from contract.omittable import Omittable
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks.segment import SEGMENT, Mask, Segment, SegmentItem, SegmentPrompt, Weight
from contract.tasks.vision import Box, Point
from gateway.dialects.dialect import DialectRoute, TaskAnswer, TaskQuery
from gateway.dialects.vision_models.request import (
    FIELDS,
    Threshold,
    VisionModelRequest,
    VisionModelResponse,
    query,
    shared_fields,
)
from gateway.forwarding.model_table import ModelTable

_FORMATS = {"rle": "rle", "polygons": "polygon", "dense": "dense"}


def _to_texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Sam3Request(VisionModelRequest):
    """`prompts` are texts for all images, or one list of texts for each image.

    `resolve_overlaps` leaves each pixel to the object with the highest score; a list of numbers multiplies the scores
    of each prompt's objects for that.
    """

    known_fields: ClassVar[FieldTable] = refused(
        "the vision models server",
        "boxes box_labels points point_labels input_boxes input_points",
        hint="POST /v1/vision/segment takes boxes and points, in `prompts`.",
    )

    prompts: Annotated[Items[Text] | Items[Items[Text]], BeforeValidator(_to_texts)]
    threshold: Threshold = 0.5
    mask_threshold: Threshold = 0.5
    resolve_overlaps: bool | Items[Weight] = False
    output_format: Literal["rle", "polygons", "dense"] = "rle"


class ZlibRunLengths(LazyModel):
    """A mask as run lengths down its columns, the first of them outside: `counts` is base64 of zlib of uint32."""

    encoding: Literal["rle"] = "rle"
    size: tuple[int, int]
    counts: str


class FoundMasks(LazyModel):
    """The objects of one prompt, best first, with their masks in the field of the `output_format`.

    `masks_polygon` has a list of polygons for each object; `masks` is (objects, height, width) of 0 and 1.
    """

    scores: list[float]
    iou_scores: list[float]
    boxes: list[Box]
    masks_rle: Omittable[list[ZlibRunLengths]] = None
    masks_polygon: Omittable[list[list[list[Point]]]] = None
    masks: Omittable[list[Array]] = None


class PromptResult(LazyModel):
    """What one prompt selected in one image."""

    prompt_index: int
    prompt: str
    result: FoundMasks


class Sam3Response(VisionModelResponse):
    """`results` has a list for each image, with one entry for each of its prompts."""

    results: list[list[PromptResult]]


def prompts_of(request: Sam3Request) -> list[list[str]]:
    """The prompts of each image. Raises InvalidField."""
    prompts: list[Any] = request.prompts
    if not any(isinstance(prompt, list) for prompt in prompts):
        prompts = [prompts] * len(request.images)
    elif len(prompts) != len(request.images):
        message = f"`prompts` has {len(prompts)} lists for {len(request.images)} images; send one list for each image,"
        raise InvalidField(f"{message} or one list of texts for all of them.", param="prompts")
    texts = [[text.strip() for text in texts] for texts in prompts]
    if not any(texts) or not all(text for each in texts for text in each):
        message = 'Send what to segment as `prompts`, such as ["person"]; none may be empty.'
        raise InvalidField(message, param="prompts")
    return texts


def to_segment(request: Sam3Request, models: ModelTable) -> Sequence[TaskQuery]:
    """One request for all images; each prompt names its image."""
    numbered = enumerate(prompts_of(request))
    fields = {
        "prompts": [SegmentPrompt(text=text, image=index) for index, texts in numbered for text in texts],
        "threshold": request.threshold,
        "mask_threshold": request.mask_threshold,
        "resolve_overlaps": request.resolve_overlaps,
        "format": _FORMATS[request.output_format],
        "encoding_format": "float",
    }
    return [query(SEGMENT, request, "sam3", models, **fields)]


def from_segment(request: Sam3Request, answers: Sequence[TaskAnswer]) -> Sam3Response:
    """The segments, grouped by image and prompt."""
    items = zip(answers[0].response.data, prompts_of(request), strict=True)
    results = [_prompt_results(item, texts, request.output_format) for item, texts in items]
    return Sam3Response(results=results, **shared_fields(answers[0]))


def _prompt_results(item: SegmentItem, prompts: Sequence[str], output_format: str) -> list[PromptResult]:
    grouped: list[list[Segment]] = [[] for _ in prompts]
    for segment in item.segments:
        grouped[segment.prompt or 0].append(segment)
    return [
        PromptResult(prompt_index=index, prompt=text, result=_found_masks(segments, output_format))
        for index, (text, segments) in enumerate(zip(prompts, grouped, strict=True))
    ]


def _found_masks(segments: Sequence[Segment], output_format: str) -> FoundMasks:
    scores = [segment.score for segment in segments]
    masks = [segment.mask for segment in segments]
    return FoundMasks(
        scores=scores,
        iou_scores=scores,
        boxes=[segment.box for segment in segments],
        masks_rle=[_zlib_run_lengths(mask) for mask in masks] if output_format == "rle" else None,
        masks_polygon=[mask.polygons or [] for mask in masks] if output_format == "polygons" else None,
        masks=[mask.pixels for mask in masks if mask.pixels is not None] if output_format == "dense" else None,
    )


def _zlib_run_lengths(mask: Mask) -> ZlibRunLengths:
    assert mask.size is not None
    assert mask.counts is not None
    runs = run_lengths(mask.counts)
    packed = zlib.compress(struct.pack(f"<{len(runs)}I", *runs))
    return ZlibRunLengths(size=mask.size, counts=base64.b64encode(packed).decode())


def run_lengths(counts: str) -> list[int]:
    """The lengths in COCO's compressed run lengths (github.com/cocodataset/cocoapi, `rleFrString`)."""
    runs: list[int] = []
    value = shift = 0
    for byte in counts.encode():
        bits = byte - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:  # the last character of a number; its highest bit is the sign
            value -= (bits & 16) << (shift - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


SEGMENTATION_ROUTE = DialectRoute(
    "/inference/sam3",
    "Segmentation with SAM 3",
    Sam3Request,
    Sam3Response,
    to_segment,
    from_segment,
    (SEGMENT,),
    {"images": [SAMPLE_IMAGE], "prompts": ["person"], "threshold": 0.5},
    {
        "results": [
            [
                {
                    "prompt_index": 0,
                    "prompt": "person",
                    "result": {
                        "scores": [0.95],
                        "iou_scores": [0.95],
                        "boxes": [[20, 14, 44, 34]],
                        "masks_rle": [{"encoding": "rle", "size": [48, 64], "counts": "…"}],
                    },
                }
            ]
        ],
        "model_id": "facebook/sam3",
        "model": "sam3",
        "processing_time": 1.23,
    },
    FIELDS,
)
