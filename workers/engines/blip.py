"""Image captioning with BLIP: unconditional, or conditional on a prefix that the request gives.

Source: arXiv:2201.12086; checkpoints Salesforce/blip-image-captioning-base and -large.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import ContextTooLong, LoadFailed, ServeError
from contract.tasks.caption import CAPTION, CaptionItem, CaptionRequest, CaptionResponse
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit.finite import not_finite
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.model_families import open_checkpoint
from workers.toolkit.pretrained import TorchOptions

_ARCHITECTURE = "BlipForConditionalGeneration"
_DEFAULT_MAX_TOKENS = 50
"""The length limit of a caption when neither the request nor the entry's `defaults` set `max_tokens`."""


class BlipOptions(TorchOptions):
    """`batch_size` is the maximum number of images in one forward pass."""

    batch_size: int = Field(16, ge=1)


def _generation_settings(request: CaptionRequest) -> Hashable:
    """What requests in one batch must share: equal prefixes need no padding, equal limits one `generate` call."""
    return request.prompt, request.max_tokens


class Blip(Engine):
    """Image captions with BLIP. A `prompt` is the beginning of the caption, and part of the answer.

    Captions are decoded as the checkpoint's generation config says.
    """

    extras: ClassVar[tuple[str, ...]] = ("vision",)
    Options: ClassVar[type[engine.Options]] = BlipOptions
    model_types: ClassVar[tuple[str, ...]] = ("blip",)
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        "workers.toolkit.stopping",
        "transformers:AutoProcessor",
        "transformers.models.blip.modeling_blip",
        "transformers.models.blip.processing_blip",
        "transformers.models.blip.image_processing_blip",
        "transformers:BertTokenizer",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and processor. Raises LoadFailed for a BLIP of another kind (question answering, retrieval)."""
        options, checkpoint = open_checkpoint(spec, type(self), BlipOptions)
        architectures = checkpoint.config.get("architectures") or [_ARCHITECTURE]
        if _ARCHITECTURE not in architectures:
            raise LoadFailed(
                f"{spec.source} is a {architectures[0]}, which writes no captions. Use a captioning model, such as "
                "Salesforce/blip-image-captioning-base."
            )
        self._processor = checkpoint.processor("AutoProcessor")
        self._model = checkpoint.model("AutoModelForImageTextToText", device, options)
        self._context: int = self._model.config.text_config.max_position_embeddings
        self._batcher = ImageBatcher(
            spec.id, options.batch_size, group_by=lambda image: _generation_settings(image.request)
        )

    @serves(CAPTION, max_batch=16, group=_generation_settings)
    def caption(self, calls: list[Call[CaptionRequest]]) -> Iterator[tuple[Call[CaptionRequest], Output]]:
        """Caption the images of all calls in shared batches."""
        yield from self._batcher.answer(calls, self._caption_batch, CaptionResponse, check=self._check)

    def _check(self, image: BatchImage[CaptionRequest]) -> None:
        self._max_new_tokens(image.request)

    def _max_new_tokens(self, request: CaptionRequest) -> int:
        """How many tokens the model may add to the prompt. Raises ContextTooLong if the prompt leaves no room."""
        prompt_tokens = len(self._processor.tokenizer(request.prompt or "")["input_ids"]) - 1  # without [SEP]
        if prompt_tokens >= self._context:
            raise ContextTooLong(
                f"The prompt has {prompt_tokens} tokens, but a caption can have only {self._context}, including the "
                "prompt. Shorten the prompt.",
                param="prompt",
                details={"prompt_tokens": prompt_tokens, "context": self._context},
            )
        return min(request.max_tokens or _DEFAULT_MAX_TOKENS, self._context - prompt_tokens)

    def _caption_batch(self, batch: list[BatchImage[CaptionRequest]]) -> list[CaptionItem | ServeError]:
        from workers.toolkit.stopping import ScoreWatch, stop_when_cancelled

        request = batch[0].request
        inputs = self._processor(
            images=[image.pil for image in batch],
            text=[request.prompt] * len(batch) if request.prompt else None,
            return_tensors="pt",
        ).to(self._model.device, dtype=self._model.dtype)
        watch = ScoreWatch(len(batch))
        tokens = self._model.generate(
            **inputs,
            max_new_tokens=self._max_new_tokens(request),
            stopping_criteria=stop_when_cancelled([image.call for image in batch]),
            logits_processor=watch.processors,
        )
        texts = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [
            CaptionItem(**image.item_fields, text=text.strip())
            if numbers
            else not_finite(self._batcher.model, "image", image.index)
            for image, text, numbers in zip(batch, texts, watch.numbers, strict=True)
        ]
