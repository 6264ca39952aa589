"""SAM 3: all things that words or examples describe, and what points point at (arXiv:2511.16719)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from contract.errors import ContextTooLong, InvalidField, UnsupportedFeature
from contract.tasks.segment import SegmentPrompt, SegmentRequest
from workers.engine import Device
from workers.engines.transformers_segment.masks import Found, Runs
from workers.engines.transformers_segment.sam import Asked, Sam
from workers.toolkit.image_batches import BatchImage
from workers.toolkit.pretrained import Checkpoint

if TYPE_CHECKING:
    from workers.engines.transformers_segment import SegmentOptions

_THRESHOLD = 0.5
"""Where the request names none, as in the authors' own code (github.com/facebookresearch/sam3)."""


class Sam3:
    """The detector of a SAM 3 checkpoint, and its tracker (a SAM for points) as soon as somebody points."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: SegmentOptions) -> None:
        self._from = (checkpoint, device, options)
        self._model = checkpoint.model("Sam3Model", device, options)
        self._processor = checkpoint.processor("Sam3Processor")
        self._has_tracker = "tracker_config" in checkpoint.config

    @property
    def features(self) -> frozenset[str]:
        """What the checkpoint has weights for."""
        return frozenset({"prompt", "semantic", "box_labels"}) | (Sam.features if self._has_tracker else frozenset())

    @property
    def asks(self) -> str:
        """What a request may ask for."""
        words = "`prompt` with words, or `prompts` with `text` or `boxes` of examples"
        return f"{words} or `points`, or `automatic: true`" if self._has_tracker else words

    @cached_property
    def _tracker(self) -> Sam:
        """It sees with the detector's eyes: only what comes behind its backbone takes more memory."""
        checkpoint, device, options = self._from
        model = checkpoint.model("AutoModelForMaskGeneration", device, options)
        model.vision_encoder.backbone = self._model.vision_encoder.backbone
        return Sam(model, self._processor.image_processor, options)

    def check(self, prompt: SegmentPrompt, request: SegmentRequest) -> None:
        """Raise a ServeError for a prompt that SAM 3 cannot follow."""
        if _is_pointing(prompt):
            self._check_pointing(prompt, request)
        if prompt.text:
            self._check_length(prompt.text)

    def _check_pointing(self, prompt: SegmentPrompt, request: SegmentRequest) -> None:
        if not self._has_tracker:
            raise UnsupportedFeature(
                "This checkpoint of SAM 3 has no tracker, which follows points and the boxes of a `detector`: send "
                "`prompt` alone, or use a checkpoint with one, such as facebook/sam3, or SAM 2.",
                param="prompts",
            )
        if prompt.text:
            raise InvalidField(
                "Points show one thing, words describe all of a kind: write a prompt for each.", param="prompts"
            )
        if request.semantic:
            raise InvalidField(
                "`semantic` is the mask of all that words or examples describe: leave it out for points and boxes of "
                "a detector.",
                param="semantic",
            )
        Sam.check(prompt, request)

    def _check_length(self, text: str) -> None:
        tokens = len(self._processor.tokenizer(text, verbose=False)["input_ids"])
        limit = self._model.config.text_config.max_position_embeddings
        if tokens > limit:
            raise ContextTooLong(
                f"The prompt has {tokens} tokens, {tokens - limit} more than the {limit} that SAM 3 reads. Write a "
                "short noun phrase, such as `yellow school bus`; several things are several prompts.",
                param="prompt",
                details={"tokens": tokens, "limit": limit},
            )

    def segment(self, picture: BatchImage[SegmentRequest], asked: Asked) -> Iterator[Found]:
        """The masks of what is asked for, and for `semantic` one more of everything that fits each prompt."""
        pointing = [(index, prompt) for index, prompt in asked if _is_pointing(prompt)]
        if pointing or picture.request.automatic:
            yield from self._tracker.segment(picture, pointing)
        describing = [(index, prompt) for index, prompt in asked if not _is_pointing(prompt)]
        if describing and not picture.call.cancelled:
            pixels = self._processor(images=picture.pil, return_tensors="pt")["pixel_values"]
            seen = self._model.get_vision_features(pixels.to(self._model.device, self._model.dtype))
            for index, prompt in describing:
                if picture.call.cancelled:
                    return
                outputs = self._model(vision_embeds=seen, **self._described(picture, prompt))
                yield from self._instances(outputs, index, picture)
                if picture.request.semantic:
                    yield self._semantic(outputs, index, picture)

    def _described(self, picture: BatchImage[SegmentRequest], prompt: SegmentPrompt) -> dict[str, Any]:
        """Words and examples as the model takes them. Examples without words get the processor's word for them."""
        examples = {}
        if prompt.boxes:
            labels = prompt.box_labels or [1] * len(prompt.boxes)
            examples = {"input_boxes": [[list(box) for box in prompt.boxes]], "input_boxes_labels": [list(labels)]}
        size = [[picture.height, picture.width]]
        inputs = self._processor(text=prompt.text, original_sizes=size, return_tensors="pt", **examples)
        inputs.pop("original_sizes")
        model = self._model
        return {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _instances(self, outputs: Any, index: int, picture: BatchImage[SegmentRequest]) -> Iterator[Found]:
        """A mask for each thing, made one after another: all together may be gigabytes in the picture's size."""
        threshold = _THRESHOLD if picture.request.threshold is None else picture.request.threshold
        scores = outputs.pred_logits.float().sigmoid() * outputs.presence_logits.float().sigmoid()
        for query in (scores[0] > threshold).nonzero()[:, 0].tolist():
            one = type(outputs)(
                pred_logits=outputs.pred_logits[:, [query]].float(),
                presence_logits=outputs.presence_logits.float(),
                pred_boxes=outputs.pred_boxes[:, [query]].float(),
                pred_masks=outputs.pred_masks[:, [query]].float(),
            )
            [result] = self._processor.post_process_instance_segmentation(
                one,
                threshold=threshold,
                mask_threshold=_mask_threshold(picture),
                target_sizes=[(picture.height, picture.width)],
            )
            for score, mask in zip(result["scores"], result["masks"], strict=True):
                yield Found(index, float(score), Runs.of(mask))

    def _semantic(self, outputs: Any, index: int, picture: BatchImage[SegmentRequest]) -> Found:
        [mask] = self._processor.post_process_semantic_segmentation(
            type(outputs)(semantic_seg=outputs.semantic_seg.float()),
            target_sizes=[(picture.height, picture.width)],
            threshold=_mask_threshold(picture),
        )
        return Found(index, None, Runs.of(mask))


def _is_pointing(prompt: SegmentPrompt) -> bool:
    """Whether a prompt points at a thing, as points and a detector's boxes do; other boxes are examples of a kind."""
    return bool(prompt.points) or prompt.score is not None


def _mask_threshold(picture: BatchImage[SegmentRequest]) -> float:
    threshold = picture.request.mask_threshold
    return 0.5 if threshold is None else threshold
