"""What a family of reading models is: pictures in, tokens out one after another, and lines of text made of them."""

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
from workers.toolkit.pretrained import Checkpoint, TorchOptions, resizes_to_one_size
from workers.toolkit.stopping import stop_when_cancelled

_PLAIN = {
    "do_sample": False, "num_beams": 1, "early_stopping": False, "length_penalty": 1.0, "max_length": None,
    "temperature": None, "top_k": None, "top_p": None,
}  # fmt: skip
"""The likeliest token at each step: what is written must not change from one time to the next."""


@dataclass(frozen=True, slots=True)
class Written:
    """The tokens that a model wrote about one picture, how probable it found each, and whether it came to an end."""

    tokens: list[int]
    probabilities: list[float]
    complete: bool


class Reader(ABC):
    """A loaded model of one family."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self.processor = checkpoint.processor("AutoProcessor")
        self.tokenizer = self.processor.tokenizer
        self.model = checkpoint.model("AutoModelForImageTextToText", device, options)
        self.model.generation_config.update(**_PLAIN)
        self.one_size = resizes_to_one_size(self.processor.image_processor)
        """Whether pictures of any size may be read together."""
        self._special = set(self.tokenizer.all_special_ids)

    @abstractmethod
    def inputs(self, images: Sequence[Image.Image]) -> Any:
        """What the model is given, as transformers' BatchFeature."""

    @abstractmethod
    def lines(self, written: Written, width: int, height: int) -> tuple[str, list[OcrLine]]:
        """The whole text of a picture, and its lines."""

    @property
    def ends(self) -> set[int]:
        """Tokens that end a text."""
        ends = self.model.generation_config.eos_token_id
        if ends is None:
            ends = self.tokenizer.eos_token_id
        return set(ends) if isinstance(ends, list) else {ends}

    @property
    def context(self) -> int:
        """How many tokens the decoder holds, prompt and text together."""
        return int(self.model.config.get_text_config(decoder=True).max_position_embeddings)

    def write(self, images: Sequence[Image.Image], calls: Sequence[Call[Any]], longest: int) -> list[Written]:
        """Let the model write about the pictures, at most `longest` tokens each, for as long as their clients wait."""
        inputs = self.inputs(images).to(self.model.device, self.model.dtype)
        # An encoder-decoder's text begins with a token of its own; any other's follows the prompt.
        start = 1 if self.model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
        sure = _Certainty()
        with torch.inference_mode():
            rows = self.model.generate(
                **inputs,
                max_new_tokens=min(longest, self.context - start),
                eos_token_id=sorted(self.ends),
                logits_processor=LogitsProcessorList([sure]),
                stopping_criteria=stop_when_cancelled(calls),
            )
            probabilities = torch.stack(sure.steps, dim=1).tolist()
        return [self._up_to_end(row, sure) for row, sure in zip(rows[:, start:].tolist(), probabilities, strict=True)]

    def _up_to_end(self, tokens: list[int], probabilities: list[float]) -> Written:
        length = next((place for place, token in enumerate(tokens) if token in self.ends), None)
        return Written(tokens[:length], probabilities[: len(tokens)][:length], complete=length is not None)

    def decode(self, tokens: Sequence[int]) -> str:
        """Tokens as text, without the special ones."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text.strip()

    def score(self, tokens: Sequence[int], probabilities: Sequence[float]) -> float:
        """The mean probability of the tokens that are text."""
        of_text = [sure for token, sure in zip(tokens, probabilities, strict=True) if token not in self._special]
        return sum(of_text) / len(of_text) if of_text else 0.0


class PageReader(Reader):
    """Writes a whole page, without saying where on the picture its lines stand."""

    def lines(self, written: Written, width: int, height: int) -> tuple[str, list[OcrLine]]:  # noqa: ARG002
        lines: list[OcrLine] = []
        begin = 0
        for end, token in enumerate(written.tokens, start=1):
            if end < len(written.tokens) and "\n" not in self.tokenizer.decode([token]):
                continue
            tokens, probabilities = written.tokens[begin:end], written.probabilities[begin:end]
            if text := self.decode(tokens):
                lines.append(OcrLine(text=text, score=self.score(tokens, probabilities), polygon=[]))
            begin = end
        return self.decode(written.tokens), lines


class _Certainty(LogitsProcessor):  # type: ignore[misc]
    """Remembers how probable the likeliest token was at each step, a row each. It must be the last processor."""

    def __init__(self) -> None:
        self.steps: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002
        self.steps.append(scores.softmax(-1).amax(-1))
        return scores
