"""What all families of OCR models have in common: text is generated token by token, then split into lines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from transformers import LogitsProcessor, LogitsProcessorList

from contract.tasks.ocr import OcrLine
from workers.engine import Call, Device
from workers.toolkit.pretrained import Checkpoint, TorchOptions
from workers.toolkit.stopping import stop_when_cancelled

_GREEDY = {
    "do_sample": False, "num_beams": 1, "early_stopping": False, "length_penalty": 1.0, "max_length": None,
    "temperature": None, "top_k": None, "top_p": None,
}  # fmt: skip
"""Generation settings for greedy decoding, whatever the checkpoint says: the same image must give the same text."""


@dataclass(frozen=True, slots=True)
class GenerationTrace:
    """The token ids generated for one image, without the end token, and the probability of each (0 to 1).

    `complete` is False if the length limit was reached before an end token.
    """

    tokens: list[int]
    probabilities: list[float]
    complete: bool


class OcrModel(ABC):
    """A loaded model of one family. Families that find text positions override `lines`."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self.processor = checkpoint.processor("AutoProcessor")
        self.tokenizer = self.processor.tokenizer
        self.model = checkpoint.model("AutoModelForImageTextToText", device, options)
        self.model.generation_config.update(**_GREEDY)
        self._special_tokens = set(self.tokenizer.all_special_ids)

    @abstractmethod
    def inputs(self, images: Sequence[Image.Image]) -> Any:
        """The model's inputs for a batch of images, as transformers' BatchFeature."""

    def lines(self, trace: GenerationTrace, width: int, height: int) -> tuple[str, list[OcrLine]]:  # noqa: ARG002
        """The whole text of an image of `width` x `height` pixels, and its lines.

        Splits at line breaks; the lines have no position (`polygon` is empty).
        """
        lines: list[OcrLine] = []
        start = 0
        for end, token in enumerate(trace.tokens, start=1):
            if end < len(trace.tokens) and "\n" not in self.tokenizer.decode([token]):
                continue
            tokens, probabilities = trace.tokens[start:end], trace.probabilities[start:end]
            if text := self.decode(tokens):
                lines.append(OcrLine(text=text, score=self.score(tokens, probabilities), polygon=[]))
            start = end
        return self.decode(trace.tokens), lines

    @property
    def end_tokens(self) -> set[int]:
        """The token ids that end a text."""
        end_tokens = self.model.generation_config.eos_token_id
        if end_tokens is None:
            end_tokens = self.tokenizer.eos_token_id
        return set(end_tokens) if isinstance(end_tokens, list) else {end_tokens}

    @property
    def context(self) -> int:
        """The most tokens that the decoder can hold, prompt and text together."""
        return int(self.model.config.get_text_config(decoder=True).max_position_embeddings)

    def generate(
        self, images: Sequence[Image.Image], calls: Sequence[Call[Any]], max_tokens: int
    ) -> list[GenerationTrace]:
        """Generate up to `max_tokens` for each image; stop early for an image whose call is cancelled."""
        inputs = self.inputs(images).to(self.model.device, self.model.dtype)
        # An encoder-decoder starts its output with one token of its own; any other model repeats the prompt.
        prompt_tokens = 1 if self.model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        recorder = _ProbabilityRecorder()
        with torch.inference_mode():
            sequences = self.model.generate(
                **inputs,
                max_new_tokens=min(max_tokens, self.context - prompt_tokens),
                eos_token_id=sorted(self.end_tokens),
                logits_processor=LogitsProcessorList([recorder]),
                stopping_criteria=stop_when_cancelled(calls),
            )
            probabilities = torch.stack(recorder.steps, dim=1).tolist()
        tokens = sequences[:, prompt_tokens:].tolist()
        return [self._trace(*row) for row in zip(tokens, probabilities, strict=True)]

    def _trace(self, tokens: list[int], probabilities: list[float]) -> GenerationTrace:
        length = next((index for index, token in enumerate(tokens) if token in self.end_tokens), None)
        return GenerationTrace(tokens[:length], probabilities[: len(tokens)][:length], complete=length is not None)

    def decode(self, tokens: Sequence[int]) -> str:
        """Tokens as text, without special tokens and surrounding whitespace."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text.strip()

    def score(self, tokens: Sequence[int], probabilities: Sequence[float]) -> float:
        """The mean probability of the tokens that are not special; 0 if there are none."""
        text_probabilities = [
            probability
            for token, probability in zip(tokens, probabilities, strict=True)
            if token not in self._special_tokens
        ]
        return sum(text_probabilities) / len(text_probabilities) if text_probabilities else 0.0


class _ProbabilityRecorder(LogitsProcessor):  # type: ignore[misc]
    """Records the probability of each row's likeliest token at every step. It must be the last logits processor."""

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002
        self.steps.append(scores.softmax(-1).amax(-1))
        return scores
