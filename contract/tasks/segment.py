"""segment: masks of what is in a picture, found by words, boxes, points, another model's detections, or all of it."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from contract.arrays import Array
from contract.errors import InvalidField
from contract.tasks import Request, Response, Task
from contract.tasks.detect import DETECT, DetectRequest, DetectResponse
from contract.tasks.vision import Box, Point, VisionItem, VisionRequest, VisionResponse

MAX_PROMPTS = 256


class SegmentPrompt(BaseModel):
    """What to segment: words, or boxes and points in pixels of the upright picture.

    Labels are 1 for what belongs to it and 0 for what does not; without them all are 1. `image` is the index of the
    picture that the prompt is for, all without it. `label` and `score` come back with the segments; a `score` says that
    a detector has found the boxes, so that they hold the things themselves where a model else takes them for examples.
    """

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, pattern=r"\S")
    boxes: list[Box] | None = Field(None, min_length=1)
    box_labels: list[Literal[0, 1]] | None = None
    points: list[Point] | None = Field(None, min_length=1)
    point_labels: list[Literal[0, 1]] | None = None
    image: int | None = Field(None, ge=0)
    label: str | None = None
    score: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _is_whole(self) -> SegmentPrompt:
        if not (self.text or self.boxes or self.points):
            raise ValueError("a prompt needs `text`, `boxes` or `points`")
        labelled = (
            ("box_labels", self.box_labels, "boxes", self.boxes),
            ("point_labels", self.point_labels, "points", self.points),
        )
        for name, labels, of, things in labelled:
            if labels is not None and len(labels) != len(things or []):
                raise ValueError(f"{len(labels)} `{name}` for {len(things or [])} `{of}`: give one for each")
        for x0, y0, x1, y1 in self.boxes or []:
            if not (x0 < x1 and y0 < y1):
                raise ValueError(f"the box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] is empty: write [x0, y0, x1, y1], x0 < x1")
        return self


class SegmentRequest(VisionRequest):
    """One or more prompts for every picture, or `automatic` for everything in it.

    `prompt` is short for prompts of words alone. `threshold` is the least score of a segment, `mask_threshold` that of
    a pixel in its mask (0 to 1). `multimask` asks for several masks where a point may mean several things. `semantic`
    adds one mask of all that fits a prompt. `detector` names a model that finds `prompt` first; its boxes then are the
    prompts (`box_threshold`, `text_threshold` and `max_detections` are the detector's).
    """

    # The gateway asks a detector before it knows the defaults of this model; that one's entry has defaults of its own.
    no_defaults: ClassVar[frozenset[str]] = VisionRequest.no_defaults | {
        "detector", "box_threshold", "text_threshold", "max_detections",
    }  # fmt: skip

    prompt: str | list[str] | None = None
    prompts: list[SegmentPrompt] | None = None
    threshold: float | None = Field(None, ge=0, le=1)
    mask_threshold: float | None = Field(None, ge=0, le=1)
    format: Literal["rle", "polygon", "dense"] = "rle"
    automatic: bool | None = None
    multimask: bool | None = None
    semantic: bool | None = None
    detector: str | None = None
    box_threshold: float | None = Field(None, ge=0, le=1)
    text_threshold: float | None = Field(None, ge=0, le=1)
    max_detections: int | None = Field(None, ge=1)

    @field_validator("prompt")
    @classmethod
    def _is_words(cls, value: str | list[str] | None) -> str | list[str] | None:
        words = [value] if isinstance(value, str) else value
        if words is not None and not (words and all(word.strip() for word in words)):
            raise ValueError(
                'write what to segment, such as "dog", or a list such as ["dog", "ball"]; none may be empty'
            )
        if len(words or []) > MAX_PROMPTS:
            raise ValueError(f"give at most {MAX_PROMPTS} prompts")
        return value

    @model_validator(mode="after")
    def _says_what(self) -> SegmentRequest:
        if self.detector and not self.prompt:
            raise InvalidField("`detector` needs a `prompt`: the label or labels that it is to find.", param="prompt")
        if self.detector and (self.prompts or self.automatic):
            raise InvalidField(
                "`detector` makes the prompts itself: leave out `prompts` and `automatic`.",
                param="prompts" if self.prompts else "automatic",
            )
        if self.automatic and (self.prompt or self.prompts):
            raise InvalidField(
                "`automatic` segments everything: leave out `prompt` and `prompts`, or leave out it.", param="automatic"
            )
        return self

    @model_validator(mode="after")
    def _has_prompts_for_its_pictures(self) -> SegmentRequest:
        last = len(self.all_images) - 1
        if any((prompt.image or 0) > last for prompt in self.prompts or []):
            message = f"A prompt's `image` is beyond the last picture, which has index {last}."
            raise InvalidField(message, param="prompts")
        if self._most_prompts() > MAX_PROMPTS:
            raise InvalidField(f"Give at most {MAX_PROMPTS} prompts for a picture.", param="prompts")
        return self

    def _most_prompts(self) -> int:
        """How many prompts the picture has that has most."""
        words = self.prompt if isinstance(self.prompt, list) else [self.prompt] if self.prompt else []
        counts = Counter(prompt.image for prompt in self.prompts or [])
        for_all = counts.pop(None, 0) + len(words)
        return for_all + max(counts.values(), default=0)

    def prompts_for(self, picture: int) -> list[SegmentPrompt]:
        """The prompts for one picture, by its index."""
        words = [self.prompt] if isinstance(self.prompt, str) else self.prompt or []
        given = [SegmentPrompt(text=text) for text in words] + (self.prompts or [])
        return [prompt for prompt in given if prompt.image in {None, picture}]

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

    def prerequisite(self) -> tuple[Task[Any, Any], Request, str] | None:
        if not self.detector:
            return None
        fields = ("image", "images", "prompt", "box_threshold", "text_threshold", "max_detections")
        given = {name: getattr(self, name) for name in fields if name in self.model_fields_set}
        return DETECT, DetectRequest(model=self.detector, **given), "detector"

    def apply_prerequisite(self, answer: Response) -> None:
        """Make the detector's boxes the prompts. Raises InvalidField where they are too many."""
        assert isinstance(answer, DetectResponse)
        self.prompts = [
            SegmentPrompt(boxes=[box], image=item.index, label=found.label, score=found.score)
            for item in answer.data
            for found in item.detections
            if (box := _inside(found.box, item))
        ]
        self.detector = self.prompt = None
        if (most := self._most_prompts()) > MAX_PROMPTS:
            message = f"The detector has found {most} things in a picture, and at most {MAX_PROMPTS} can be segmented."
            raise InvalidField(f"{message} Set `max_detections`, or raise `box_threshold`.", param="max_detections")


def _inside(box: Box, item: VisionItem) -> Box | None:
    """The part of a detector's box that lies in the picture, if there is one."""
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], item.width), min(box[3], item.height)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


class Mask(BaseModel):
    """A mask as COCO's compressed run lengths, as polygons, or as a PNG of 0 and 255 in the picture's size.

    Polygons are the outlines of its parts along the edges of pixels; holes are left out.
    """

    format: Literal["rle", "polygon", "dense"]
    size: tuple[int, int] | None = None  # height, width
    counts: str | None = None
    polygons: list[list[Point]] | None = None
    png: Array | None = None


class Segment(BaseModel):
    """One mask: the index of its prompt among those for this picture, its label, the model's score, its area in pixels.

    `box` is tight around the mask: the edges of its outermost pixels; that of an empty mask is all zeros.
    `detection_score` is the score that the prompt brought along: the detector's.
    """

    prompt: int | None
    label: str | None
    score: float
    detection_score: float | None = None
    box: Box
    area: int
    mask: Mask


class SemanticMask(BaseModel):
    """Everything in the picture that fits a prompt, as one mask."""

    prompt: int
    label: str | None
    area: int
    mask: Mask


class SegmentItem(VisionItem):
    """`segments` in the order of the prompts, each prompt's best first; `semantic` if the request asked for it."""

    segments: list[Segment]
    semantic: list[SemanticMask] | None = None


class SegmentResponse(VisionResponse):
    data: list[SegmentItem]


SEGMENT = Task("segment", "/v1/vision/segment", SegmentRequest, SegmentResponse)
