"""SAM 3: all objects that a text or example boxes describe, and single objects marked by points (arXiv:2511.16719)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from contract.errors import ContextTooLong, InvalidField, UnsupportedFeature
from contract.tasks.segment import SegmentPrompt, SegmentRequest
from workers.engine import Device
from workers.engines.transformers_segment.masks import NotFinite, PredictedMask, RunLengths
from workers.engines.transformers_segment.options import SegmentOptions
from workers.engines.transformers_segment.prompts import IndexedPrompts
from workers.engines.transformers_segment.sam import Sam
from workers.toolkit.finite import is_finite
from workers.toolkit.image_batches import BatchImage
from workers.toolkit.pretrained import Checkpoint

_DEFAULT_THRESHOLD = 0.5
"""The score threshold if the request sets none, as in the authors' own code (github.com/facebookresearch/sam3)."""
_DEFAULT_MASK_THRESHOLD = 0.5


class Sam3:
    """The detector of a SAM 3 checkpoint. The first request with points loads its tracker, a SAM, as well."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: SegmentOptions) -> None:
        self._tracker_arguments = (checkpoint, device, options)
        self._model = checkpoint.model("Sam3Model", device, options)
        self._processor = checkpoint.processor("Sam3Processor")
        self._has_tracker = "tracker_config" in checkpoint.config

    @property
    def features(self) -> frozenset[str]:
        """The features that the checkpoint has weights for."""
        return frozenset({"prompt", "semantic", "box_labels"}) | (Sam.features if self._has_tracker else frozenset())

    @property
    def accepted_prompts(self) -> str:
        """What a request may ask for, for error messages."""
        accepted = "`prompt` with words, or `prompts` with `text` or `boxes` of examples"
        return f"{accepted} or `points`, or `automatic: true`" if self._has_tracker else accepted

    @cached_property
    def _tracker(self) -> Sam:
        """The tracker, which shares the detector's vision backbone to save memory."""
        checkpoint, device, options = self._tracker_arguments
        model = checkpoint.model("AutoModelForMaskGeneration", device, options)
        model.vision_encoder.backbone = self._model.vision_encoder.backbone
        return Sam(model, self._processor.image_processor, options)

    def check(self, prompt: SegmentPrompt, request: SegmentRequest) -> None:
        """Raise a ServeError for a prompt that SAM 3 cannot follow."""
        if _is_for_tracker(prompt):
            self._check_tracker_prompt(prompt, request)
        if prompt.text:
            self._check_length(prompt.text)

    def _check_tracker_prompt(self, prompt: SegmentPrompt, request: SegmentRequest) -> None:
        if not self._has_tracker:
            raise UnsupportedFeature(
                "This checkpoint of SAM 3 has no tracker, which points and the boxes of a `detector` need. Send only "
                "`prompt`, or use a checkpoint with a tracker, such as facebook/sam3, or SAM 2.",
                param="prompts",
            )
        if prompt.text:
            raise InvalidField(
                "Points mark one object, and `text` describes all objects of a kind. Write a prompt for each.",
                param="prompts",
            )
        if request.semantic:
            raise InvalidField(
                "`semantic` is the mask of everything that a text or examples describe. Leave it out for points and "
                "for the boxes of a detector.",
                param="semantic",
            )
        Sam.check(prompt, request)

    def _check_length(self, text: str) -> None:
        tokens = len(self._processor.tokenizer(text, verbose=False)["input_ids"])
        limit = self._model.config.text_config.max_position_embeddings
        if tokens > limit:
            raise ContextTooLong(
                f"The prompt has {tokens} tokens, {tokens - limit} more than the {limit} that SAM 3 reads. Write a "
                "short noun phrase, such as `yellow school bus`, and a prompt of its own for each kind of object.",
                param="prompt",
                details={"tokens": tokens, "limit": limit},
            )

    def segment(self, image: BatchImage[SegmentRequest], prompts: IndexedPrompts) -> Iterator[PredictedMask]:
        """The masks for the prompts and, with `semantic`, one more for each prompt, of everything that matches it.

        Stops early if the image's call is cancelled.
        """
        tracker_prompts = [(index, prompt) for index, prompt in prompts if _is_for_tracker(prompt)]
        if tracker_prompts or image.request.automatic:
            yield from self._tracker.segment(image, tracker_prompts)
        concept_prompts = [(index, prompt) for index, prompt in prompts if not _is_for_tracker(prompt)]
        if concept_prompts and not image.call.cancelled:
            pixels = self._processor(images=image.pil, return_tensors="pt")["pixel_values"]
            embeddings = self._model.get_vision_features(pixels.to(self._model.device, self._model.dtype))
            for index, prompt in concept_prompts:
                if image.call.cancelled:
                    return
                outputs = self._model(vision_embeds=embeddings, **self._prompt_inputs(image, prompt))
                if not (is_finite(outputs.pred_logits) and is_finite(outputs.pred_masks)):
                    raise NotFinite
                yield from self._instances(outputs, index, image)
                if image.request.semantic:
                    yield self._semantic_mask(outputs, index, image)

    def _prompt_inputs(self, image: BatchImage[SegmentRequest], prompt: SegmentPrompt) -> dict[str, Any]:
        """Text and example boxes as the model takes them. For boxes alone the processor supplies a neutral text."""
        examples = {}
        if prompt.boxes:
            labels = prompt.box_labels or [1] * len(prompt.boxes)
            examples = {"input_boxes": [[list(box) for box in prompt.boxes]], "input_boxes_labels": [list(labels)]}
        size = [[image.height, image.width]]
        inputs = self._processor(text=prompt.text, original_sizes=size, return_tensors="pt", **examples)
        inputs.pop("original_sizes")
        model = self._model
        return {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _instances(self, outputs: Any, index: int, image: BatchImage[SegmentRequest]) -> Iterator[PredictedMask]:
        """A mask for each object. They are decoded one by one: all together could take gigabytes at full size."""
        threshold = _DEFAULT_THRESHOLD if image.request.threshold is None else image.request.threshold
        scores = outputs.pred_logits.float().sigmoid() * outputs.presence_logits.float().sigmoid()
        for query in (scores[0] > threshold).nonzero()[:, 0].tolist():
            query_outputs = type(outputs)(
                pred_logits=outputs.pred_logits[:, [query]].float(),
                presence_logits=outputs.presence_logits.float(),
                pred_boxes=outputs.pred_boxes[:, [query]].float(),
                pred_masks=outputs.pred_masks[:, [query]].float(),
            )
            [result] = self._processor.post_process_instance_segmentation(
                query_outputs,
                threshold=threshold,
                mask_threshold=_mask_threshold(image),
                target_sizes=[(image.height, image.width)],
            )
            for score, mask in zip(result["scores"], result["masks"], strict=True):
                yield PredictedMask(index, float(score), RunLengths.from_mask(mask))

    def _semantic_mask(self, outputs: Any, index: int, image: BatchImage[SegmentRequest]) -> PredictedMask:
        [mask] = self._processor.post_process_semantic_segmentation(
            type(outputs)(semantic_seg=outputs.semantic_seg.float()),
            target_sizes=[(image.height, image.width)],
            threshold=_mask_threshold(image),
        )
        return PredictedMask(index, None, RunLengths.from_mask(mask))


def _is_for_tracker(prompt: SegmentPrompt) -> bool:
    """Whether a prompt marks a single object, with points or a detector's box. Other boxes are examples of a kind."""
    return bool(prompt.points) or prompt.score is not None


def _mask_threshold(image: BatchImage[SegmentRequest]) -> float:
    threshold = image.request.mask_threshold
    return _DEFAULT_MASK_THRESHOLD if threshold is None else threshold
