"""SAM, SAM-HQ, SAM 2 and SAM 3's tracker: masks of the things at which points and boxes point.

Papers: arXiv:2304.02643 (SAM), arXiv:2306.01567 (HQ), arXiv:2408.00714 (SAM 2), arXiv:2511.16719 (SAM 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from contract.errors import InvalidField
from contract.tasks.segment import SegmentPrompt, SegmentRequest
from contract.tasks.vision import Box, Point
from workers.engines.transformers_segment.everything import Everything
from workers.engines.transformers_segment.masks import Found, Runs
from workers.toolkit.image_batches import BatchImage

if TYPE_CHECKING:
    from PIL import Image

    from workers.engines.transformers_segment import SegmentOptions

Asked = Sequence[tuple[int, SegmentPrompt]]
"""Prompts, each with its index."""

_THINGS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class PromptedObject:
    """What the mask decoder is asked for: points on it (label 1) or beside it (label 0), a box around it, or both."""

    prompt: int
    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box: Box | None = None

    @property
    def form(self) -> tuple[int, bool]:
        """Things of one form go through the decoder together, none of them padded."""
        return len(self.points), self.box is not None

    @property
    def is_ambiguous(self) -> bool:
        """A single point may mean a thing, a part of it, or the whole to which it belongs."""
        return self.form == (1, False)


def things(asked: Asked) -> Iterator[PromptedObject]:
    """Points show one thing, to which its box may be given; without points each box holds a thing of its own."""
    for index, prompt in asked:
        boxes = prompt.boxes or []
        if prompt.points:
            labels = prompt.point_labels or [1] * len(prompt.points)
            yield PromptedObject(index, tuple(prompt.points), tuple(labels), boxes[0] if boxes else None)
        else:
            yield from (PromptedObject(index, box=box) for box in boxes)


def as_logit(probability: float | None) -> float:
    """What a mask's values are compared with, for a `mask_threshold` from 0 to 1; without one, for 0.5."""
    return 0.0 if probability is None else float(torch.tensor(probability, dtype=torch.float64).logit())


@dataclass(frozen=True, slots=True)
class Sight:
    """A picture as the model has seen it, once for all its prompts; sizes are height and width in pixels."""

    embeddings: dict[str, Any]
    size: tuple[int, int]
    seen: tuple[int, int]
    """What the model saw of the picture itself, without padding."""


class Sam:
    """A model for mask generation, with the processor of its pictures."""

    features = frozenset({"points", "automatic", "multimask"})
    asks = "`prompts` with `points` or `boxes`, or `automatic: true` for everything in the picture"

    def __init__(self, model: Any, processor: Any, options: SegmentOptions) -> None:
        self._model = model
        self._processor = processor
        self._everything = Everything(model, processor, options)

    @staticmethod
    def check(prompt: SegmentPrompt, request: SegmentRequest) -> None:  # noqa: ARG004 - SAM 3 looks at it
        """Raise a ServeError for a prompt that means nothing to these models."""
        if prompt.points and len(prompt.boxes or []) > 1:
            raise InvalidField(
                "Points show one thing, so one box at most goes with them: write a prompt for each thing.",
                param="prompts",
            )

    def segment(self, picture: BatchImage[SegmentRequest], asked: Asked) -> Iterator[Found]:
        """The masks of what is asked for, as the model makes them; all it can find if the request is `automatic`."""
        if picture.request.automatic:
            yield from self._everything.find(picture, as_logit(picture.request.mask_threshold))
            return
        sight = self._look(picture.pil)
        for _, alike in groupby(sorted(things(asked), key=_form), key=_form):
            batch = list(alike)
            for start in range(0, len(batch), _THINGS_AT_ONCE):
                if picture.call.cancelled:
                    return
                yield from self._find(sight, batch[start : start + _THINGS_AT_ONCE], picture.request)

    def _look(self, image: Image.Image) -> Sight:
        inputs = self._processor(images=image, return_tensors="pt")
        pixels = inputs["pixel_values"].to(self._model.device, self._model.dtype)
        embeddings = self._model.get_image_embeddings(pixels)
        names = ("image_embeddings", "intermediate_embeddings")  # the second is SAM-HQ's
        told = dict(zip(names, embeddings, strict=True)) if isinstance(embeddings, tuple) else {names[0]: embeddings}
        seen = inputs["reshaped_input_sizes"][0] if "reshaped_input_sizes" in inputs else pixels.shape[-2:]
        return Sight(told, (image.height, image.width), (int(seen[0]), int(seen[1])))

    def _find(self, sight: Sight, batch: list[PromptedObject], request: SegmentRequest) -> Iterator[Found]:
        """The masks of things of one form: of each the best, or with `multimask` all three."""
        several = bool(request.multimask) or batch[0].is_ambiguous
        outputs = self._model(**sight.embeddings, **self._shown(sight, batch), multimask_output=several)
        for thing, masks, scores in zip(batch, outputs.pred_masks[0], outputs.iou_scores[0], strict=True):
            for one in range(len(scores)) if request.multimask else [int(scores.argmax())]:
                score = float(scores[one])
                if request.threshold is None or score >= request.threshold:
                    yield Found(thing.prompt, score, Runs.of(self._mask(sight, masks[one], request)))

    def _shown(self, sight: Sight, batch: list[PromptedObject]) -> dict[str, Any]:
        """Points and boxes as the model takes them: one picture, its things, their points; in pixels that it sees."""
        scale = torch.tensor([sight.seen[1] / sight.size[1], sight.seen[0] / sight.size[0]])
        shown: dict[str, Any] = {}
        if batch[0].points:
            shown["input_points"] = torch.tensor([[thing.points for thing in batch]]) * scale
            shown["input_labels"] = torch.tensor([[thing.labels for thing in batch]])
        if batch[0].box:
            shown["input_boxes"] = torch.tensor([[thing.box for thing in batch]]) * scale.repeat(2)
        return {name: value.to(self._model.device) for name, value in shown.items()}

    def _mask(self, sight: Sight, logits: Any, request: SegmentRequest) -> Any:
        """True where the thing is, in the size of the picture, of the small mask that the decoder makes."""
        [[[mask]]] = self._processor.post_process_masks(
            [logits.float()[None, None]],
            [sight.size],
            mask_threshold=as_logit(request.mask_threshold),
            reshaped_input_sizes=[sight.seen],
        )
        return mask


def _form(thing: PromptedObject) -> tuple[int, bool]:
    return thing.form
