"""Kokoro: reads texts aloud with 54 voices in eight languages, on the CPU (huggingface.co/hexgrad/Kokoro-82M).

`voice` speaks a sentence with kokoro-onnx, which writes it in phonemes with espeak-ng. Nothing heavy is imported before
`load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from contract.config import ModelSpec
from contract.status import ModelFacts
from contract.tasks.speech import SPEECH, SpeechRequest
from workers import engine
from workers.engine import Call, Device, Engine, Feed, Output, serves
from workers.engines.kokoro.options import KokoroOptions


class KokoroSpeech(Engine):
    """Text to speech with Kokoro, in English and seven more languages."""

    extras: ClassVar[tuple[str, ...]] = ("audio",)
    Options: ClassVar[type[engine.Options]] = KokoroOptions
    features: ClassVar[frozenset[str]] = frozenset({"language"})
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    imports: ClassVar[tuple[str, ...]] = (
        "av",
        "onnxruntime",
        "kokoro_onnx",
        "workers.toolkit.speech.speaker",
        f"{__name__}.voice",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:  # noqa: ARG002 - it runs on the CPU only
        """Load model and voices. Raises LoadFailed if one of them is missing."""
        from workers.engines.kokoro.voice import KokoroVoice

        self._options = KokoroOptions.model_validate(spec.options)
        self._voice = KokoroVoice(spec, self._options)

    def facts(self) -> ModelFacts:
        """The names of its voices."""
        return ModelFacts(voices=self._voice.voices.all_names)

    @serves(SPEECH, max_batch=64, joins=True)
    def answer(self, feed: Feed[SpeechRequest]) -> Iterator[tuple[Call[SpeechRequest], Output]]:
        """Read the next sentence of each call, in turns, until all are read."""
        from workers.toolkit.speech.speaker import read_aloud

        yield from read_aloud(feed, self._voice, self._options)
