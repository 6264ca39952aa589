"""Captions of pictures by BLIP: in its own words, or from a beginning that the request gives.

Source: arXiv:2201.12086; checkpoints Salesforce/blip-image-captioning-base and -large.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import ContextTooLong, LoadFailed
from contract.tasks.caption import CAPTION, CaptionItem, CaptionRequest, CaptionResponse
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.pretrained import TorchOptions, checkpoint, set_up_torch

_CLASS = "BlipForConditionalGeneration"
_LONGEST = 50
"""Tokens of a caption for which neither the request nor the entry's `defaults` have `max_tokens`."""


class BlipOptions(TorchOptions):
    """`batch_size` is how many pictures are captioned at once."""

    batch_size: int = Field(16, ge=1)


def _alike(request: CaptionRequest) -> Hashable:
    """Captions that begin alike and may be equally long are written side by side, without padding."""
    return request.prompt, request.max_tokens


class Blip(Engine):
    """Captions by BLIP, plain or from a beginning: `prompt` is how the caption starts, and stands in the answer."""

    Options: ClassVar[type[engine.Options]] = BlipOptions
    model_types: ClassVar[tuple[str, ...]] = ("blip",)
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.stopping",
        "transformers:AutoProcessor",
        "transformers.models.blip.modeling_blip",
        "transformers.models.blip.processing_blip",
        "transformers.models.blip.image_processing_blip",
        "transformers:BertTokenizer",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and processor. Raises LoadFailed for a BLIP that answers questions or compares."""
        options = BlipOptions.model_validate(spec.options)
        set_up_torch(options)
        found = checkpoint(spec, type(self))
        made_as = found.config.get("architectures") or [_CLASS]
        if _CLASS not in made_as:
            raise LoadFailed(
                f"{spec.source} is a {made_as[0]}, which writes no captions. Name a BLIP that does, such as "
                "Salesforce/blip-image-captioning-base."
            )
        self._processor = found.processor("AutoProcessor")
        self._model = found.model("AutoModelForImageTextToText", device, options)
        self._window: int = self._model.config.text_config.max_position_embeddings
        self._pictures = ImageBatcher(spec.id, options.batch_size, group_by=lambda picture: _alike(picture.request))

    @serves(CAPTION, max_batch=16, group=_alike)
    def caption(self, calls: list[Call[CaptionRequest]]) -> Iterator[tuple[Call[CaptionRequest], Output]]:
        """Caption the calls' pictures together."""
        yield from self._pictures.answer(calls, self._write, CaptionResponse, check=self._check)

    def _check(self, picture: BatchImage[CaptionRequest]) -> None:
        self._room(picture.request)

    def _room(self, request: CaptionRequest) -> int:
        """How many tokens the caption may have beyond its beginning. Raises ContextTooLong."""
        begun = len(self._processor.tokenizer(request.prompt or "")["input_ids"]) - 1  # its end is taken off
        if begun >= self._window:
            raise ContextTooLong(
                f"The prompt has {begun} tokens, and a caption {self._window} at most, its beginning included. "
                "Shorten the prompt.",
                param="prompt",
                details={"prompt_tokens": begun, "context": self._window},
            )
        return min(request.max_tokens or _LONGEST, self._window - begun)

    def _write(self, pictures: list[BatchImage[CaptionRequest]]) -> list[CaptionItem]:
        """The captions of pictures that are alike, chosen token by token as the model's generation config says."""
        from workers.toolkit.stopping import stop_when_cancelled

        request = pictures[0].request
        inputs = self._processor(
            images=[picture.pil for picture in pictures],
            text=[request.prompt] * len(pictures) if request.prompt else None,
            return_tensors="pt",
        ).to(self._model.device, dtype=self._model.dtype)
        wanted = stop_when_cancelled([picture.call for picture in pictures])
        tokens = self._model.generate(**inputs, max_new_tokens=self._room(request), stopping_criteria=wanted)
        texts = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [
            CaptionItem(**picture.item_fields, text=text.strip()) for picture, text in zip(pictures, texts, strict=True)
        ]
