"""VITS: reads texts aloud, in any of the 1,100 languages of Meta's MMS (arXiv:2106.06103, arXiv:2305.13516).

`voice` speaks a sentence with transformers. Nothing heavy is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from contract.config import ModelSpec
from contract.status import ModelFacts
from contract.tasks.speech import SPEECH, SpeechRequest
from workers import engine
from workers.engine import Call, Device, Engine, Feed, Output, serves
from workers.engines.vits.options import VitsOptions
from workers.toolkit.model_families import open_checkpoint


class Vits(Engine):
    """Text to speech with VITS models, such as those of MMS, each for one language."""

    extras: ClassVar[tuple[str, ...]] = ("audio",)
    Options: ClassVar[type[engine.Options]] = VitsOptions
    features: ClassVar[frozenset[str]] = frozenset({"seed"})
    model_types: ClassVar[tuple[str, ...]] = ("vits",)
    imports: ClassVar[tuple[str, ...]] = (
        "av",
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        "transformers:VitsModel",
        "workers.toolkit.speech.speaker",
        f"{__name__}.voice",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and tokenizer. Raises LoadFailed for a checkpoint of another type, or without its tools."""
        options, checkpoint = open_checkpoint(spec, Vits, VitsOptions)
        from workers.engines.vits.voice import VitsVoice

        self._options = options
        # With 16 bits, the model's splines find no solution for some durations.
        self._voice = VitsVoice(checkpoint, replace(device, dtype="float32"), options)

    def facts(self) -> ModelFacts:
        """The names of its voices."""
        return ModelFacts(voices=self._voice.voices.all_names)

    @serves(SPEECH, max_batch=64, joins=True)
    def answer(self, feed: Feed[SpeechRequest]) -> Iterator[tuple[Call[SpeechRequest], Output]]:
        """Read the next sentence of each call, in turns, until all are read."""
        from workers.toolkit.speech.speaker import read_aloud

        yield from read_aloud(feed, self._voice, self._options)
