"""Grounding DINO and MM Grounding DINO: all labels are read as one text, and boxes are matched with its words.

Source: arxiv.org/abs/2303.05499. transformers names a box by the words that fit it, which may be half a label or two
labels at once; here it has the label, as the client wrote it, to which the best of those words belongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from PIL import Image

from contract.errors import ContextTooLong, InvalidField
from contract.tasks.detect import DetectRequest
from workers.engine import Device
from workers.engines.transformers_detect.detector import Detector, ScoredBox, no_prompt
from workers.toolkit.pretrained import Checkpoint, TorchOptions


@dataclass(frozen=True, slots=True)
class _LabelPrompt:
    """The labels as one text, and for each label the places of its tokens."""

    text: str
    places: list[list[int]]


class GroundingDino(Detector):
    """Its thresholds are those of the model card."""

    features: ClassVar[frozenset[str]] = frozenset({"prompt", "text_threshold"})
    box_threshold: ClassVar[float] = 0.4
    text_threshold: ClassVar[float] = 0.3

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self._name = checkpoint.spec.id
        self._processor = checkpoint.processor("AutoProcessor")
        self._model = checkpoint.model("AutoModelForZeroShotObjectDetection", device, options)
        self._limit: int = self._model.config.max_text_len

    @property
    def pictures(self) -> Any:
        return self._processor.image_processor

    def check(self, request: DetectRequest) -> None:
        if not request.labels:
            raise no_prompt(self._name)
        self._read(request.labels)

    def look(self, images: Sequence[Image.Image], labels: Sequence[str]) -> list[list[ScoredBox]]:
        prompt = self._read(labels)
        with torch.inference_mode():
            inputs = self._processor(images=list(images), text=[prompt.text] * len(images), return_tensors="pt")
            outputs = self._model(**inputs.to(self._model.device, self._model.dtype))
            words = outputs.logits.sigmoid().float()  # (pictures, boxes, tokens)
            fits = torch.stack([words[..., places].amax(-1) for places in prompt.places], dim=-1)
            text_scores, numbers = fits.max(-1)
            scores, boxes = words.amax(-1), _corners(outputs.pred_boxes.float(), images)
        found = zip(numbers.tolist(), scores.tolist(), boxes.tolist(), text_scores.tolist(), strict=True)
        return [
            [ScoredBox(labels[number], score, tuple(box), fit) for number, score, box, fit in zip(*one, strict=True)]
            for one in found
        ]

    def _read(self, labels: Sequence[str]) -> _LabelPrompt:
        """Lower case, each label ended by a full stop: what the model was trained with."""
        text, ends = "", []
        for label in labels:
            text += label.strip(" .\t\n").lower()
            ends.append(len(text))
            text += ". "
        text = text.rstrip()
        tokens = self._processor.tokenizer(text, return_offsets_mapping=True)
        self._fits(len(tokens["input_ids"]))
        starts = [0, *(end + 2 for end in ends)]
        places = [
            [place for place, (left, right) in enumerate(tokens["offset_mapping"]) if start <= left < right <= end]
            for start, end in zip(starts, ends, strict=False)
        ]
        for label, of_label in zip(labels, places, strict=True):
            if not of_label:
                raise InvalidField(f"The label {label!r} has nothing that {self._name} can read.", param="prompt")
        return _LabelPrompt(text, places)

    def _fits(self, tokens: int) -> None:
        if tokens > self._limit:
            raise ContextTooLong(
                f"`prompt` has {tokens} tokens, {tokens - self._limit} more than the {self._limit} that {self._name} "
                "reads at once: ask for fewer labels in each of several requests.",
                param="prompt",
                details={"tokens": tokens, "limit": self._limit},
            )


def _corners(boxes: Any, images: Sequence[Image.Image]) -> Any:
    """Middles and sizes as parts of the picture, (pictures, boxes, 4), to corners in pixels."""
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    pixels = torch.tensor([[image.width, image.height] * 2 for image in images], device=boxes.device)
    return torch.cat([middle - half, middle + half], dim=-1) * pixels[:, None]
