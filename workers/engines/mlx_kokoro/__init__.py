"""Kokoro with Apple's MLX: reads texts aloud with 54 voices in eight languages (huggingface.co/hexgrad/Kokoro-82M).

`voice` speaks a sentence with mlx-audio, whose phonemes espeak-ng writes. Nothing heavy is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from contract.config import ModelSpec
from contract.status import ModelFacts
from contract.tasks.speech import SPEECH, SpeechRequest
from workers import engine
from workers.engine import Call, Device, Engine, Feed, Output, serves
from workers.engines.mlx_kokoro.options import MlxKokoroOptions


class MlxKokoro(Engine):
    """Text to speech with Kokoro on Apple's GPUs. Without such a GPU, on the CPU."""

    extras: ClassVar[tuple[str, ...]] = ("mlx", "audio")
    Options: ClassVar[type[engine.Options]] = MlxKokoroOptions
    features: ClassVar[frozenset[str]] = frozenset({"language", "seed"})
    devices: ClassVar[tuple[str, ...]] = ("mlx", "cpu")
    imports: ClassVar[tuple[str, ...]] = (
        "av",
        "kokoro_onnx",
        "mlx_audio.tts.models.kokoro",
        "workers.toolkit.speech.speaker",
        f"{__name__}.voice",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and voices. Raises LoadFailed if one of them is missing."""
        from workers.engines.mlx_kokoro.voice import MlxKokoroVoice
        from workers.toolkit import mlx_runtime

        self._options = MlxKokoroOptions.model_validate(spec.options)
        mlx_runtime.use(device, self._options.buffer_cache_gb)
        self._voice = MlxKokoroVoice(spec, device, self._options)

    def facts(self) -> ModelFacts:
        """The names of its voices."""
        return ModelFacts(voices=self._voice.voices.all_names)

    @serves(SPEECH, max_batch=64, joins=True)
    def answer(self, feed: Feed[SpeechRequest]) -> Iterator[tuple[Call[SpeechRequest], Output]]:
        """Read the next sentence of each call, in turns, until all are read."""
        from workers.toolkit.mlx_runtime import releasing
        from workers.toolkit.speech.speaker import read_aloud

        yield from releasing(read_aloud(feed, self._voice, self._options), self.meter)
