"""segment: masks of objects in an image, selected by words, boxes, points or another model's detections, or all."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from contract.arrays import Array
from contract.errors import InvalidField
from contract.lazy_model import LazyModel
from contract.limits import MAX_TEXT, Items, MaxLength, Name, Text
from contract.omittable import Omittable
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Prerequisite, Response, Task
from contract.tasks.detect import DETECT, DetectRequest, DetectResponse
from contract.tasks.vision import Box, Point, VisionItem, VisionRequest, VisionResponse

MAX_PROMPTS = 256

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class SegmentPrompt(LazyModel):
    """What to segment: words, or boxes and points in pixels of the upright image.

    A box or point labelled 1 (the default) belongs to the object; one labelled 0 does not. `image` is the index of the
    image that the prompt applies to (default: all). `label` and `score` are returned with the segments. A prompt with
    a `score` comes from a detector: its boxes contain the objects to segment, even for models that otherwise treat
    boxes as examples.
    """

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(pattern=r"\S"), MaxLength(MAX_TEXT)] | None = None
    boxes: Items[Box] | None = Field(None, min_length=1)
    box_labels: Items[Literal[0, 1]] | None = None
    points: Items[Point] | None = Field(None, min_length=1)
    point_labels: Items[Literal[0, 1]] | None = None
    image: int | None = Field(None, ge=0)
    label: Text | None = None
    score: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, data: Any) -> Any:
        """Name one unknown field: by itself, pydantic would add an error for each of many thousands."""
        unknown = data.keys() - cls.model_fields.keys() if isinstance(data, dict) else set()
        return {name: data[name] for name in [*(data.keys() - unknown), min(unknown)]} if unknown else data

    @model_validator(mode="after")
    def _check(self) -> SegmentPrompt:
        if not (self.text or self.boxes or self.points):
            raise ValueError("a prompt needs `text`, `boxes` or `points`")
        labelled = (
            ("box_labels", self.box_labels, "boxes", self.boxes),
            ("point_labels", self.point_labels, "points", self.points),
        )
        for labels_name, labels, items_name, items in labelled:
            count = len(items or [])
            if labels is not None and len(labels) != count:
                raise ValueError(f"{len(labels)} `{labels_name}` for {count} `{items_name}`; send one label for each")
        for x0, y0, x1, y1 in self.boxes or []:
            if not (x0 < x1 and y0 < y1):
                box = f"[{x0:g}, {y0:g}, {x1:g}, {y1:g}]"
                raise ValueError(f"the box {box} is empty; write [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
        return self


class SegmentRequest(VisionRequest):
    """One or more prompts for every image, or `automatic` to segment everything.

    `prompt` is a shorthand for prompts of words only. `threshold` is the minimum score of a segment, `mask_threshold`
    that of a pixel in its mask (0 to 1). `encoding_format` `float` writes dense masks as rows of 0 and 1. `multimask`
    asks for several masks where a point is ambiguous. `semantic` adds one mask of everything that matches a prompt.
    `resolve_overlaps` leaves each pixel to the segment with the highest score; a list of numbers multiplies the scores
    of each prompt's segments for that. `detector` names a model that first detects `prompt`; its boxes become the
    prompts (`box_threshold`, `text_threshold` and `max_detections` are passed to the detector).
    """

    # The gateway calls the detector before it knows this model's defaults, and the detector has its own.
    no_defaults: ClassVar[frozenset[str]] = VisionRequest.no_defaults | {
        "detector", "box_threshold", "text_threshold", "max_detections",
    }  # fmt: skip

    prompt: Text | Items[Text] | None = None
    prompts: Items[SegmentPrompt] | None = None
    threshold: float | None = Field(None, ge=0, le=1)
    mask_threshold: float | None = Field(None, ge=0, le=1)
    format: Literal["rle", "polygon", "dense"] = "rle"
    encoding_format: Literal["float", "base64"] = "base64"
    automatic: bool | None = None
    multimask: bool | None = None
    semantic: bool | None = None
    resolve_overlaps: bool | Annotated[list[Weight], Field(min_length=1, max_length=MAX_PROMPTS)] | None = None
    detector: Name | None = None
    box_threshold: float | None = Field(None, ge=0, le=1)
    text_threshold: float | None = Field(None, ge=0, le=1)
    max_detections: int | None = Field(None, ge=1)

    @field_validator("prompt")
    @classmethod
    def _check_prompt(cls, value: str | list[str] | None) -> str | list[str] | None:
        words = [value] if isinstance(value, str) else value
        if words is not None and not (words and all(word.strip() for word in words)):
            raise ValueError(
                'send what to segment, such as "dog", or a list such as ["dog", "ball"]; none may be empty'
            )
        if len(words or []) > MAX_PROMPTS:
            raise ValueError(f"send at most {MAX_PROMPTS} prompts")
        return value

    @model_validator(mode="after")
    def _check_selection(self) -> SegmentRequest:
        if self.detector and not self.prompt:
            raise InvalidField("`detector` needs a `prompt` with the label or labels to find.", param="prompt")
        if self.detector and (self.prompts or self.automatic):
            raise InvalidField(
                "With `detector`, the prompts come from the detector: leave out `prompts` and `automatic`.",
                param="prompts" if self.prompts else "automatic",
            )
        if self.automatic and (self.prompt or self.prompts):
            raise InvalidField(
                "`automatic` segments everything: leave out `prompt` and `prompts`, or `automatic`.", param="automatic"
            )
        return self

    @model_validator(mode="after")
    def _check_prompts(self) -> SegmentRequest:
        last = len(self.all_images) - 1
        if any((prompt.image or 0) > last for prompt in self.prompts or []):
            message = f"A prompt's `image` is out of range; the index of the last image is {last}."
            raise InvalidField(message, param="prompts")
        if self._most_prompts() > MAX_PROMPTS:
            raise InvalidField(f"Send at most {MAX_PROMPTS} prompts per image.", param="prompts")
        return self

    def _most_prompts(self) -> int:
        """The number of prompts of the image that has the most."""
        words = self.prompt if isinstance(self.prompt, list) else [self.prompt] if self.prompt else []
        counts = Counter(prompt.image for prompt in self.prompts or [])
        for_every_image = counts.pop(None, 0) + len(words)
        return for_every_image + max(counts.values(), default=0)

    def prompts_for(self, index: int) -> list[SegmentPrompt]:
        """The prompts for the image with this index."""
        words = [self.prompt] if isinstance(self.prompt, str) else self.prompt or []
        prompts = [SegmentPrompt(text=text) for text in words] + (self.prompts or [])
        return [prompt for prompt in prompts if prompt.image in {None, index}]

    def required_features(self) -> frozenset[str]:
        needs = {name for name in ("automatic", "multimask", "semantic") if getattr(self, name)}
        prompts = self.prompts or []
        if (self.prompt and not self.detector) or any(prompt.text for prompt in prompts):
            needs.add("prompt")
        if any(prompt.points for prompt in prompts):
            needs.add("points")
        if any(0 in (prompt.box_labels or []) for prompt in prompts):
            needs.add("box_labels")
        return frozenset(needs)

    def prerequisite(self) -> Prerequisite | None:
        if not self.detector:
            return None
        shared = ("image", "images", "prompt", "box_threshold", "text_threshold", "max_detections")
        fields = {name: getattr(self, name) for name in shared if name in self.model_fields_set}
        return Prerequisite(DETECT, DetectRequest(model=self.detector, **fields), "detector")

    def apply_prerequisite(self, response: Response) -> None:
        """Replace `prompt` with the detector's boxes. Raises InvalidField when there are too many."""
        assert isinstance(response, DetectResponse)
        self.prompts = [
            SegmentPrompt(boxes=[box], image=item.index, label=detection.label, score=detection.score)
            for item in response.data
            for detection in item.detections
            if (box := _clip(detection.box, item))
        ]
        self.detector = self.prompt = None
        if (most := self._most_prompts()) > MAX_PROMPTS:
            message = f"The detector found {most} objects in an image; at most {MAX_PROMPTS} can be segmented."
            raise InvalidField(f"{message} Set `max_detections`, or raise `box_threshold`.", param="max_detections")


def _clip(box: Box, item: VisionItem) -> Box | None:
    """The part of a detector's box that is inside the image, or None."""
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], item.width), min(box[3], item.height)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


class Mask(LazyModel):
    """A mask as COCO's compressed run lengths, as polygons, or dense: a PNG of 0 and 255, or rows of `pixels`, 0 or 1.

    Polygons are the outlines of its connected parts, along pixel edges; holes are omitted.
    """

    format: Literal["rle", "polygon", "dense"]
    size: tuple[int, int] | None = None  # height, width
    counts: str | None = None
    polygons: list[list[Point]] | None = None
    png: Array | None = None
    pixels: Omittable[Array] = None


class Segment(LazyModel):
    """One mask: the index of its prompt among those for this image, its label, the model's score, its area in pixels.

    `box` encloses the mask tightly, along the edges of its outermost pixels; for an empty mask it is all zeros.
    `detection_score` is the prompt's `score`, which comes from the detector.
    """

    prompt: int | None
    label: str | None
    score: float
    detection_score: float | None = None
    box: Box
    area: int
    mask: Mask


class SemanticMask(LazyModel):
    """Everything in the image that matches a prompt, as one mask."""

    prompt: int
    label: str | None
    area: int
    mask: Mask


class SegmentItem(VisionItem):
    """`segments` are in the order of the prompts, each prompt's best first; `semantic` if the request asked for it."""

    segments: list[Segment]
    semantic: list[SemanticMask] | None = None


class SegmentResponse(VisionResponse):
    data: list[SegmentItem]


SEGMENT = Task(
    "segment",
    "/v1/vision/segment",
    SegmentRequest,
    SegmentResponse,
    example={"image": SAMPLE_IMAGE, "prompt": "a rectangle"},
)
