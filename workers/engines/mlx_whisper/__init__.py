"""Whisper with Apple's MLX: what is said in a recording, in its language or in English (arXiv:2212.04356).

`recognizer` reads windows of audio with mlx-audio, `segments` takes their tokens apart. Nothing heavy is imported
before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from contract.config import ModelSpec
from contract.tasks.transcription import TRANSCRIPTION
from contract.tasks.translation import TRANSLATION
from workers import engine
from workers.engine import Call, Device, Engine, Feed, Output, serves
from workers.engines.mlx_whisper.options import MlxWhisperOptions
from workers.toolkit import pretrained
from workers.toolkit.transcription.groups import window_group


class MlxWhisper(Engine):
    """Speech to text with Whisper and models of its kind on Apple's GPUs. Without such a GPU, on the CPU."""

    extras: ClassVar[tuple[str, ...]] = ("mlx", "audio")
    Options: ClassVar[type[engine.Options]] = MlxWhisperOptions
    devices: ClassVar[tuple[str, ...]] = ("mlx", "cpu")
    model_types: ClassVar[tuple[str, ...]] = ("whisper",)
    imports: ClassVar[tuple[str, ...]] = (
        "av",
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        "transformers:WhisperProcessor",
        "mlx_audio.stt.models.whisper.decoding",
        f"{__name__}.recognizer",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and tokenizer. Raises LoadFailed for a checkpoint of another type, or without a tokenizer."""
        import workers.toolkit.torchvision_shim  # noqa: F401  (before transformers)
        from workers.engines.mlx_whisper.recognizer import MlxRecognizer
        from workers.toolkit import mlx_runtime

        self._options = MlxWhisperOptions.model_validate(spec.options)
        mlx_runtime.use(device, self._options.buffer_cache_gb)
        self._recognizer = MlxRecognizer(pretrained.checkpoint(spec, MlxWhisper), device, self._options)

    @serves(TRANSCRIPTION, max_batch=64, group=window_group, joins=True)
    @serves(TRANSLATION, max_batch=64, group=window_group, joins=True)
    def answer(self, feed: Feed[Any]) -> Iterator[tuple[Call[Any], Output]]:
        """Read the next window of each call, in shared batches, until all are read."""
        from workers.toolkit.mlx_runtime import releasing
        from workers.toolkit.transcription.windows import read_windows

        options = self._options
        answers = read_windows(feed, self._recognizer, batch_size=options.batch_size, max_minutes=options.max_minutes)
        yield from releasing(answers, self.meter)
