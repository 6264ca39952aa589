"""Grounding DINO and MM Grounding DINO: all labels are read as one text, and boxes are matched with its words.

Source: arxiv.org/abs/2303.05499. transformers labels a box with the words that match it, which may be half a label or
parts of two. Here a box gets the whole label that its best word belongs to, as the client wrote it.
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
from workers.engines.transformers_detect.detector import Detector, ScoredBox, missing_prompt
from workers.toolkit.pretrained import Checkpoint, TorchOptions


@dataclass(frozen=True, slots=True)
class _LabelPrompt:
    """The labels as one text, and for each label the positions of its tokens."""

    text: str
    token_positions: list[list[int]]


class GroundingDino(Detector):
    """Its thresholds are those of the model card."""

    features: ClassVar[frozenset[str]] = frozenset({"prompt", "text_threshold"})
    box_threshold: ClassVar[float] = 0.4
    text_threshold: ClassVar[float] = 0.3

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        super().__init__(checkpoint, device, options)
        self._context: int = self.model.config.max_text_len

    def check(self, request: DetectRequest) -> None:
        """Raise a ServeError if there is no label, one without any token, or too much text."""
        if not request.labels:
            raise missing_prompt(self.name)
        self._label_prompt(request.labels)

    def detect(self, images: Sequence[Image.Image], labels: Sequence[str]) -> list[list[ScoredBox]]:
        prompt = self._label_prompt(labels)
        outputs = self.predict(images, text=[prompt.text] * len(images))
        token_scores = outputs.logits.sigmoid().float()  # (images, boxes, tokens)
        label_scores = torch.stack([token_scores[..., tokens].amax(-1) for tokens in prompt.token_positions], dim=-1)
        text_scores, best_labels = label_scores.max(-1)
        scores, boxes = token_scores.amax(-1), _to_corners(outputs.pred_boxes.float(), images)
        by_image = zip(best_labels.tolist(), scores.tolist(), boxes.tolist(), text_scores.tolist(), strict=True)
        return [
            [
                ScoredBox(labels[label], score, tuple(box), text)
                for label, score, box, text in zip(*columns, strict=True)
            ]
            for columns in by_image
        ]

    def _label_prompt(self, labels: Sequence[str]) -> _LabelPrompt:
        """Join the labels in lower case, each followed by a full stop, as in the model's training data."""
        text, ends = "", []
        for label in labels:
            text += label.strip(" .\t\n").lower()
            ends.append(len(text))
            text += ". "
        text = text.rstrip()
        tokens = self.processor.tokenizer(text, return_offsets_mapping=True)
        self._check_length(len(tokens["input_ids"]))
        starts = [0, *(end + 2 for end in ends)]
        positions = [
            [index for index, (left, right) in enumerate(tokens["offset_mapping"]) if start <= left < right <= end]
            for start, end in zip(starts, ends, strict=False)
        ]
        for label, label_positions in zip(labels, positions, strict=True):
            if not label_positions:
                raise InvalidField(f"The label {label!r} has no characters that {self.name} can read.", param="prompt")
        return _LabelPrompt(text, positions)

    def _check_length(self, tokens: int) -> None:
        if tokens > self._context:
            raise ContextTooLong(
                f"`prompt` has {tokens} tokens, {tokens - self._context} more than the {self._context} that "
                f"{self.name} reads at once. Spread the labels over several requests.",
                param="prompt",
                details={"tokens": tokens, "limit": self._context},
            )


def _to_corners(boxes: Any, images: Sequence[Image.Image]) -> Any:
    """Boxes (images, boxes, 4) from relative (centre x, centre y, width, height) to corners in pixels."""
    centre, half_size = boxes[..., :2], boxes[..., 2:] / 2
    image_sizes = torch.tensor([[image.width, image.height] * 2 for image in images], device=boxes.device)
    return torch.cat([centre - half_size, centre + half_size], dim=-1) * image_sizes[:, None]
