"""SAM, SAM-HQ, SAM 2 and SAM 3's tracker: masks of the objects that points and boxes mark.

Papers: arXiv:2304.02643 (SAM), arXiv:2306.01567 (HQ), arXiv:2408.00714 (SAM 2), arXiv:2511.16719 (SAM 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import torch

from contract.errors import InvalidField
from contract.tasks.segment import SegmentPrompt, SegmentRequest
from workers.engine import Device
from workers.engines.transformers_segment.automatic import AutomaticMaskGenerator
from workers.engines.transformers_segment.masks import NotFinite, PredictedMask, RunLengths
from workers.engines.transformers_segment.options import SegmentOptions
from workers.engines.transformers_segment.prompts import IndexedPrompts, ObjectPrompt, object_prompts
from workers.toolkit.finite import is_finite
from workers.toolkit.image_batches import BatchImage
from workers.toolkit.pretrained import Checkpoint

if TYPE_CHECKING:
    from PIL import Image

_MAX_OBJECTS_PER_PASS = 64


@dataclass(frozen=True, slots=True)
class ImageEmbedding:
    """An image's embeddings, computed once for all its prompts. Sizes are (height, width) in pixels."""

    embeddings: dict[str, Any]
    image_size: tuple[int, int]
    input_size: tuple[int, int]
    """The size of the image in the model's input, without padding."""


class Sam:
    """A model for mask generation with its image processor."""

    features = frozenset({"points", "automatic", "multimask"})
    accepted_prompts = "`prompts` with `points` or `boxes`, or `automatic: true` for everything in the image"
    """What a request may ask for, for error messages."""

    def __init__(self, model: Any, processor: Any, options: SegmentOptions) -> None:
        self._model = model
        self._processor = processor
        self._automatic = AutomaticMaskGenerator(model, processor, options)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, device: Device, options: SegmentOptions) -> Sam:
        """Load the model onto its device."""
        model = checkpoint.model("AutoModelForMaskGeneration", device, options)
        return cls(model, checkpoint.processor("AutoImageProcessor"), options)

    @staticmethod
    def check(prompt: SegmentPrompt, request: SegmentRequest) -> None:  # noqa: ARG004 - Sam3 needs the request
        """Raise InvalidField for a prompt with points and several boxes."""
        if prompt.points and len(prompt.boxes or []) > 1:
            raise InvalidField(
                "The points of a prompt mark one object, so it can have only one box. Write a prompt for each object.",
                param="prompts",
            )

    def segment(self, image: BatchImage[SegmentRequest], prompts: IndexedPrompts) -> Iterator[PredictedMask]:
        """The masks for the prompts in the order of prediction, or of everything if the request is `automatic`.

        Stops early if the image's call is cancelled.
        """
        if image.request.automatic:
            yield from self._automatic.generate(image, _to_logit(image.request.mask_threshold))
            return
        embedding = self._embed(image.pil)
        shape = attrgetter("shape")
        for _, group in groupby(sorted(object_prompts(prompts), key=shape), key=shape):
            objects = list(group)
            for start in range(0, len(objects), _MAX_OBJECTS_PER_PASS):
                if image.call.cancelled:
                    return
                yield from self._decode(embedding, objects[start : start + _MAX_OBJECTS_PER_PASS], image.request)

    def _embed(self, image: Image.Image) -> ImageEmbedding:
        inputs = self._processor(images=image, return_tensors="pt")
        pixels = inputs["pixel_values"].to(self._model.device, self._model.dtype)
        embeddings = self._model.get_image_embeddings(pixels)
        if not isinstance(embeddings, tuple):
            embeddings = (embeddings,)
        names = ("image_embeddings", "intermediate_embeddings")  # SAM-HQ has the second too
        size = inputs["reshaped_input_sizes"][0] if "reshaped_input_sizes" in inputs else pixels.shape[-2:]
        return ImageEmbedding(
            dict(zip(names, embeddings, strict=False)), (image.height, image.width), (int(size[0]), int(size[1]))
        )

    def _decode(
        self, embedding: ImageEmbedding, objects: Sequence[ObjectPrompt], request: SegmentRequest
    ) -> Iterator[PredictedMask]:
        """The masks of objects with prompts of one shape: the best of each, or all three with `multimask`."""
        multimask = bool(request.multimask) or objects[0].is_ambiguous
        outputs = self._model(
            **embedding.embeddings, **self._prompt_inputs(embedding, objects), multimask_output=multimask
        )
        if not is_finite(outputs.iou_scores):
            raise NotFinite
        for prompt, logits, scores in zip(objects, outputs.pred_masks[0], outputs.iou_scores[0], strict=True):
            for index in range(len(scores)) if request.multimask else [int(scores.argmax())]:
                score = float(scores[index])
                if request.threshold is None or score >= request.threshold:
                    mask = self._full_size_mask(embedding, logits[index], request)
                    yield PredictedMask(prompt.index, score, RunLengths.from_mask(mask))

    def _prompt_inputs(self, embedding: ImageEmbedding, objects: Sequence[ObjectPrompt]) -> dict[str, Any]:
        """Points (1, objects, points, 2) with labels and boxes (1, objects, 4), in pixels of the model's input."""
        (height, width), (input_height, input_width) = embedding.image_size, embedding.input_size
        scale = torch.tensor([input_width / width, input_height / height])
        inputs: dict[str, Any] = {}
        if objects[0].points:
            inputs["input_points"] = torch.tensor([[prompt.points for prompt in objects]]) * scale
            inputs["input_labels"] = torch.tensor([[prompt.labels for prompt in objects]])
        if objects[0].box:
            inputs["input_boxes"] = torch.tensor([[prompt.box for prompt in objects]]) * scale.repeat(2)
        return {name: value.to(self._model.device) for name, value in inputs.items()}

    def _full_size_mask(self, embedding: ImageEmbedding, logits: Any, request: SegmentRequest) -> Any:
        """A bool tensor (height, width) in the image's size, from the decoder's low-resolution logits."""
        [[[mask]]] = self._processor.post_process_masks(
            [logits.float()[None, None]],
            [embedding.image_size],
            mask_threshold=_to_logit(request.mask_threshold),
            reshaped_input_sizes=[embedding.input_size],
        )
        return mask


def _to_logit(mask_threshold: float | None) -> float:
    """The logit of a mask threshold from 0 to 1; 0 (a probability of 0.5) if the request sets none."""
    return 0.0 if mask_threshold is None else float(torch.tensor(mask_threshold, dtype=torch.float64).logit())
